"""Folders of images, one folder a class, and images inside other containers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distlandscape.data.request import Request, Table
from distlandscape.data.rows import Samples, staged
from distlandscape.errors import InputError

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}


def image_folder(request: Request) -> Table:
    """path/train/CLASS/*.png and path/test/CLASS/*.png, or path/CLASS/*.png; classes in the order of their names.

    Grey images become (1, H, W) bytes where all are grey, else all become (3, H, W).
    """
    root = request.existing("a folder with one folder of images a class")
    folder = _split_folder(root, request)
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(path, label) for label, folder_ in enumerate(classes) for path in _images(folder_)]
    if len(classes) < 2 or not files:
        raise InputError(f"{folder} has {len(classes)} folders with {len(files)} images; give one folder a class")
    modes = {_opened(path, str(path)).mode for path, _ in files}
    colour = not modes <= {"L", "1"}

    def parts() -> Iterator[Samples]:
        for path, _ in files:
            yield decoded(path, str(path), colour)[None]

    try:
        x = staged(parts(), request.scratch / "images", request.progress)
    except InputError as error:
        raise InputError(f"images of {folder} differ: {error}") from None
    labels = np.array([label for _, label in files])
    names = ", ".join(path.name for path in classes[:10]) + (", …" if len(classes) > 10 else "")
    return Table(x, labels, f"images of {root.name}, {request.split} split, classes {names}")


def decoded(source: Path | bytes, name: str, colour: bool) -> Samples:
    """An image as bytes (1, H, W) or (3, H, W); InputError names it where it cannot be read."""
    image = _opened(source, name)
    try:
        array = np.asarray(image.convert("RGB" if colour else "L"))
    except Exception as error:  # every codec fails in its own way
        raise InputError(f"the image {name} cannot be read ({error}); remove or replace it") from None
    return np.ascontiguousarray(array.transpose(2, 0, 1) if colour else array[None])


def _opened(source: Path | bytes, name: str) -> Any:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(source if isinstance(source, bytes) else source.read_bytes()))
    except Exception as error:
        raise InputError(f"the image {name} cannot be read ({error}); remove or replace it") from None


def _split_folder(root: Path, request: Request) -> Path:
    if not root.is_dir():
        raise InputError(f"data.path {root} is not a folder; give a folder with one folder of images a class")
    if (root / request.split).is_dir():
        return root / request.split
    if request.split == "test":
        raise request.no_test_split(f"put its images into {root / 'test'}")
    return root


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
