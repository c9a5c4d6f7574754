"""``data.source=image_folder``: path/train/CLASS/*.png and path/test/CLASS/*.png, or path/CLASS/*.png."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distlandscape.data.arrays import Indices, Samples
from distlandscape.data.images import decode
from distlandscape.data.source import CHUNK, Request, Source
from distlandscape.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")
SPLITS = ("train", "test")


def open_image_folder(request: Request) -> Source:
    """PNG and JPEG images (C, H, W) of bytes; classes are numbered in the sorted order of their folders' names.

    The test split has the class numbers of the train split.

    Raises:
        InputError: no classes, a class without images, an image that cannot be read or is of another shape.
    """
    root = request.folder("a folder with one folder of images a class")
    folder = root
    if any((root / split).is_dir() for split in SPLITS):
        folder = root / request.split
        if not folder.is_dir():
            other = next(split for split in SPLITS if split != request.split)
            raise InputError(f"{root} has no folder {request.split!r}; make it, or set data.split={other}")
    else:
        request.train_only("make the folders train and test, with one folder a class in each")
    classes = _classes(root / "train" if (root / "train").is_dir() else folder)
    files: list[str] = []  # a Path takes several times the memory
    labels: list[int] = []
    for name in _classes(folder):
        if name not in classes:
            raise InputError(f"{folder / name} is a class that the train split does not have; remove or rename it")
        images = sorted(str(file) for file in (folder / name).iterdir() if file.suffix.lower() in SUFFIXES)
        if not images:
            raise InputError(f"{folder / name} holds no images ({', '.join(SUFFIXES)}); fill or remove the folder")
        files += images
        labels += [classes.index(name)] * len(images)
    split = f" {request.split}" if folder != root else ""
    description = f"image folder {root.name}{split}, {len(classes)} classes"
    return _ImageFolder(description, files, np.array(labels), decode(Path(files[0]), files[0]).shape)


def has_test(request: Request) -> bool:
    """Whether there is a folder named test."""
    return (request.folder("a folder with one folder of images a class") / "test").is_dir()


@dataclass(frozen=True)
class _ImageFolder:
    description: str
    files: list[str]
    labels: Indices
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.files)

    def targets(self) -> Samples:
        return self.labels

    def chunks(self, wanted: Indices) -> Iterator[tuple[Samples, Samples]]:
        """Only what is wanted is decoded."""
        count = max(1, CHUNK // int(np.prod(self.shape)))
        for start in range(0, len(wanted), count):
            some = wanted[start : start + count]
            yield np.stack([self._image(index) for index in some.tolist()]), self.labels[some]

    def _image(self, index: int) -> Samples:
        file = self.files[index]
        image = decode(Path(file), file)
        if image.shape != self.shape:
            raise InputError(
                f"{file} is {_words(image.shape)}, {self.files[0]} is {_words(self.shape)}; make all images equal"
            )
        return image


def _classes(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise InputError(f"{folder} has no folders of classes; put the images into one folder a class")
    return names


def _words(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
