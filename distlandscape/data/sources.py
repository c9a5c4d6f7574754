"""Where samples come from: a name and a path to a source, then filter, permute, take, cut, store."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.data import cifar, dataset, digits, idx, image_folder, npz, parquet
from distlandscape.data.arrays import Indices, Samples, check_arrays
from distlandscape.data.blocks import BlockStore
from distlandscape.data.cut import block_bounds, chosen_blocks
from distlandscape.data.gather import gather
from distlandscape.data.scaling import SCALINGS, UNIT, Scaling, standard
from distlandscape.data.source import Request, Source
from distlandscape.data.stored import open_stored, source_of
from distlandscape.data.writer import Progress, silent, write_file, write_store
from distlandscape.errors import InputError

SOURCES: dict[str, Callable[[Request], Source]] = {
    "digits": digits.open_digits,
    "npz": npz.open_npz,
    "idx": idx.open_idx,
    "fashion_mnist": idx.open_fashion_mnist,
    "cifar10": cifar.open_cifar10,
    "cifar100": cifar.open_cifar100,
    "image_folder": image_folder.open_image_folder,
    "parquet": parquet.open_parquet,
    "torch": dataset.open_dataset,
}
STORE = "store"
SPLITS = ("train", "test")
LABELS = 1  # with the seed, the key of the permutation of targets, apart from that of samples


def load_source(
    source: str = "digits",
    path: str | None = None,
    *,
    samples: int | None = None,
    classes: Sequence[int] | None = None,
    seed: int = 0,
    blocks: int | None = None,
    split: str = "train",
    scaling: str | None = None,
    target: str = "y",
    options: Mapping[str, Any] | None = None,
    random_labels: bool = False,
    into: str | Path | None = None,
    progress: Progress | None = None,
) -> BlockStore:
    """Read a source and cut it into blocks, in an order that is a permutation seeded by ``seed``.

    Args:
        source: a name of ``SOURCES``, or "store": a file written before, used as it is unless ``samples``,
            ``classes``, ``blocks`` or ``random_labels`` are given.
        path: the file or folder; of "torch" the ``package.module:factory``.
        samples: keeps the first so many after the permutation.
        classes: keeps those classes and numbers them 0, 1, … in the order given.
        seed: of the permutation.
        blocks: number of blocks (None: see ``default_blocks``).
        split: "train" or "test".
        scaling: "none", "unit" (bytes / 255) or "standard" (per channel, by mean and standard deviation of the whole
            train split); None: "unit" for bytes, else "none". The store keeps the samples as they are, and the scaling.
        target: column of a Parquet file that holds the targets.
        options: arguments of a dataset's factory.
        random_labels: deals the targets out to the samples anew, by a permutation seeded by ``seed``: as many of each
            class as before, and nothing to learn from the samples (Zhang et al. 2017).
        into: file to write the store to, whole or not at all; None keeps it in memory. Memory holds the targets and a
            few blocks at a time; a large set goes through a temporary file beside ``into``.
        progress: is told what goes on, many times a second; None tells nobody.

    Raises:
        InputError: unknown source, unreadable file, unusable arrays, more samples than there are, or no room.
    """
    _check_names(source, split, scaling, target, options)
    if into is not None and (not Path(into).name or "\0" in str(into)):
        raise InputError(f"{str(into)!r} is no name of a file to write the store to; give one")
    progress = progress or silent
    with contextlib.ExitStack() as files:
        with _told(f"data.path {path} cannot be read"):
            request = Request(source, path, split, target, options or {}, files)
            store = open_stored(request, scaling) if source == STORE else None
            if store is not None and samples is None and classes is None and blocks is None and not random_labels:
                return store if into is None else _in_file(into, store.write_into)
            opened = SOURCES[source](request) if store is None else source_of(store)
            order, description = _order(opened, samples, classes, seed)
            count = chosen_blocks(len(order), blocks)
            kept = _scaling(scaling, opened, request, progress) if store is None else store.scaling
            if into is not None:  # the temporary file lies beside it
                with _told(f"{into} cannot be written"):
                    Path(into).parent.mkdir(parents=True, exist_ok=True)
            x_block, y = gather(
                opened, order, block_bounds(len(order), count), files, Path(into).parent if into else None, progress
            )

        if random_labels:
            y = y[np.random.Generator(np.random.Philox(key=[seed, LABELS])).permutation(len(y))]
            description += ", labels permuted"

        def write(sink: str | pa.NativeFile) -> None:
            write_store(
                sink,
                x_block,
                y if classes is None else _numbered(y, classes),
                count,
                description if kept is None or store is not None else f"{description}, used as {kept.words}",
                scaling=kept,
                split=split if store is None else store.split,
                progress=progress,
            )

        return BlockStore.in_memory(write) if into is None else _in_file(into, write)


def _in_file(into: str | Path, write: Callable[[str], object]) -> BlockStore:
    with _told(f"{into} cannot be written"):
        write_file(Path(into), write)
    return BlockStore.open(into)


def _check_names(source: str, split: str, scaling: str | None, target: str, options: Mapping[str, Any] | None) -> None:
    if source not in SOURCES and source != STORE:
        raise InputError(f"unknown data.source {source!r}; known: {', '.join(SOURCES)}, {STORE}")
    if split not in SPLITS:
        raise InputError(f"unknown data.split {split!r}; known: {', '.join(SPLITS)}")
    if scaling is not None and scaling not in SCALINGS:
        raise InputError(f"unknown data.scaling {scaling!r}; known: {', '.join(SCALINGS)}")
    if options and source != "torch":
        raise InputError(f"data.options are the arguments of data.source=torch; remove them for {source}")
    if target != "y" and source != "parquet":
        raise InputError(f"data.target names a column of data.source=parquet; remove it for {source}")


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """What the system says against reading or writing, in the user's words."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{what} ({error.strerror or error}); check the path, its permissions and the disk") from error


def _order(source: Source, samples: int | None, classes: Sequence[int] | None, seed: int) -> tuple[Indices, str]:
    """Which samples of a source, in the order drawn; and the words for it."""
    description = source.description
    mine = None if classes is None else _of_classes(source.targets(), classes)
    if classes is not None:
        description += f", classes {list(classes)} as 0…{len(classes) - 1}"
    count = len(source) if mine is None else len(mine)
    order = np.random.Generator(np.random.Philox(seed)).permutation(count)
    if samples is not None:
        if not 1 <= samples <= count:
            remedy = "raise" if samples < 1 else "lower"
            raise InputError(f"data.samples={samples}, but the source holds {count}; {remedy} data.samples")
        order = order[:samples]
        description += f", {samples} samples"
    return order if mine is None else mine[order], f"{description}, permutation seed {seed}"


def _of_classes(y: Samples, classes: Sequence[int]) -> Indices:
    """Where the samples of the classes are."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise InputError("data.classes needs integer labels; remove it for real-valued targets")
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise InputError(f"data.classes={list(classes)} must name at least two different classes; correct it")
    absent = sorted(set(classes) - set(np.unique(y).tolist()))
    if absent:
        raise InputError(f"data.classes names {absent}, which no sample has; remove them")
    return np.flatnonzero(np.isin(y, classes))


def _numbered(y: Samples, classes: Sequence[int]) -> Samples:
    by_label = np.argsort(classes)
    numbers: Samples = by_label[np.searchsorted(np.asarray(classes)[by_label], y)]
    return numbers


def _scaling(asked: str | None, source: Source, request: Request, progress: Progress) -> Scaling | None:
    """The scaling of a source, after a look at its first sample, which is checked on the way."""
    x, y = next(source.chunks(np.zeros(1, np.int64)))
    check_arrays(x.dtype, (len(source), *x.shape[1:]), y.dtype, (len(source), *y.shape[1:]))
    if asked is None:
        asked = "unit" if x.dtype == np.uint8 else "none"
    if asked == "none":
        return None
    if asked == "unit":
        if x.dtype != np.uint8:
            raise InputError(
                f"data.scaling=unit divides bytes by 255, and the samples are {x.dtype}; choose none or standard"
            )
        return UNIT
    train = source
    if request.split != "train":
        train = SOURCES[request.source](dataclasses.replace(request, split="train"))
        shape = next(train.chunks(np.zeros(1, np.int64)))[0].shape[1:]
        if shape != x.shape[1:]:
            raise InputError(
                f"samples of the train split have the shape {shape}, those of the test split {x.shape[1:]}; make them"
                " alike, or set data.scaling=none"
            )

    def chunks() -> Iterator[Samples]:
        done = 0
        for chunk, _ in train.chunks(np.arange(len(train))):
            yield chunk
            done += len(chunk)
            progress(f"mean and standard deviation of {done:,} of {len(train):,} samples")

    return standard(chunks())
