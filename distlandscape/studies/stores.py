"""The block stores of a run: files in the output folder, named by their content and shared by the runs in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distlandscape.config import RunConfig
from distlandscape.data import BlockStore, has_test_split
from distlandscape.errors import InputError
from distlandscape.studies.context import load_data
from distlandscape.studies.progress import Progress


@dataclass(frozen=True)
class Stores:
    """What a run works on.

    Attributes:
        measured: the split that is measured.
        other: the split that is trained on, where that is another one; for a run that only trains, the split it is
            tested on, where the source has one.
    """

    measured: BlockStore
    other: BlockStore | None

    def identity(self) -> dict[str, Any]:
        """Where they are, for a resume, which needs no source."""
        return {
            name: {"path": str(store.path), "sha256": store.digest} if store is not None else None
            for name, store in (("measured", self.measured), ("other", self.other))
        }

    @classmethod
    def reopened(cls, identity: dict[str, Any]) -> Stores:
        """The stores of an earlier attempt.

        Raises:
            InputError: gone or changed.
        """
        return cls(_intact(identity["measured"]), _intact(identity["other"]) if identity["other"] else None)


@contextlib.contextmanager
def imported(config: RunConfig, out: Path, study: str) -> Iterator[Stores]:
    """The stores of a new run; files that were made for it are removed again when the caller finds it wrong."""
    folder = out.absolute() / "data"
    made = [folder / f".{split}.{os.getpid()}.arrow" for split in ("train", "test")]
    try:
        with Progress() as progress:
            measured = _import(config, config.data.split, config.data.samples, folder, made, progress)
            other = None
            if config.data.split == "test" and config.train.steps:
                other = _import(config, "train", config.data.samples, folder, made, progress)
            elif study in ("train", "hyperplane", "goldilocks") and _has_test_split(config):
                other = _import(config, "test", None, folder, made, progress)
        yield Stores(measured, other)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other runs' stores are in it
            folder.rmdir()
        raise


def _has_test_split(config: RunConfig) -> bool:
    """A store holds one split only, so there is none beside the one that is trained on."""
    return config.data.source != "store" and has_test_split(config.data.source, config.data.path)


def _import(
    config: RunConfig, split: str, samples: int | None, folder: Path, made: list[Path], progress: Progress
) -> BlockStore:
    temporary = folder / f".{split}.{os.getpid()}.arrow"
    d = config.data
    as_it_is = all(v is None for v in (samples, d.classes, d.blocks)) and not d.random_labels
    if d.source == "store" and as_it_is:
        lying = load_data(config, split, None, None, progress.update)  # used where it lies
        return _of_split(lying, split)
    store = _of_split(load_data(config, split, samples, temporary, progress.update), split)
    path = folder / f"{store.digest[:16]}.arrow"
    if path.exists():
        with contextlib.suppress(InputError):  # damaged: the samples at hand take its place
            present = BlockStore.open(path)
            if present.digest == store.digest and present.description == store.description and present.intact():
                temporary.unlink()
                return present
    else:
        made.append(path)
    temporary.replace(path)
    return BlockStore.open(path)


def _of_split(store: BlockStore, split: str) -> BlockStore:
    if store.split != split:
        raise InputError(
            f"{store.path} holds the {store.split} split, not {split}: set data.split={store.split}, and train from"
            " another source or give model.weights"
        )
    return store


def _intact(identity: dict[str, str]) -> BlockStore:
    store = BlockStore.open(identity["path"])
    if store.digest != identity["sha256"] or not store.intact():
        raise InputError(f"the data of this run, {store.path}, were changed; start the study again")
    return store
