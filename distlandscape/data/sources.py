"""Where samples come from: a name and a path to rows, then filter, permute, take, scale, cut."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.data.blocks import BlockStore
from distlandscape.data.cifar import cifar10, cifar100
from distlandscape.data.dataset import torch_dataset
from distlandscape.data.idx import fashion_mnist, idx
from distlandscape.data.images import image_folder
from distlandscape.data.npz import npz
from distlandscape.data.parquet import parquet
from distlandscape.data.request import Request, Table
from distlandscape.data.rows import ArrayRows, Indices, JoinedRows, Samples
from distlandscape.data.scaling import Scaling, make_scaling
from distlandscape.data.writer import checked_targets, write_rows
from distlandscape.errors import InputError
from distlandscape.files import write_whole

SPLITS = ("train", "test")


def load_source(
    source: str = "digits",
    path: str | None = None,
    *,
    split: str = "train",
    samples: int | None = None,
    classes: Sequence[int] | None = None,
    scaling: str | None = None,
    target: str = "y",
    options: dict[str, Any] | None = None,
    seed: int = 0,
    blocks: int | None = None,
    into: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> BlockStore:
    """Read a source and cut it into blocks, in an order that is a permutation seeded by ``seed``.

    Samples go through memory a block at a time; two sweeps over them are made, three with scaling "standard".

    Args:
        source: name of the source.
        path: file, folder or import path, as the source wants it.
        split: "train" or "test".
        samples: keep the first so many after the permutation.
        classes: keep these and number them 0, 1, … in the order given.
        scaling: see ``make_scaling``.
        target: column of the targets, in tables.
        options: arguments of a dataset's factory.
        seed: of the permutation.
        blocks: number of blocks; None: see ``default_blocks``.
        into: file to write the store to; None keeps it in memory.
        progress: told in a few words how far it is.

    Raises:
        InputError: unknown source, unreadable or unusable samples, or more samples asked for than there are.
    """
    if source not in SOURCES:
        raise InputError(f"unknown data.source {source!r}; known: {', '.join(sorted(SOURCES))}")
    if split not in SPLITS:
        raise InputError(f"unknown data.split {split!r}; known: {', '.join(SPLITS)}")
    if into is not None:
        into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=into and into.parent) as scratch:

        def ask(split: str) -> Table:
            folder = Path(scratch) / split
            folder.mkdir(exist_ok=True)
            return SOURCES[source](Request(source, path, split, target, options or {}, folder, progress))

        if source == "store":
            stored = _open_store(path, split, scaling)
            if all(wish is None for wish in (samples, classes, blocks, into)):
                return stored
            table, scaled = _table_of(stored), stored.scaling
        else:
            table = ask(split)
            reference = ask("train") if scaling == "standard" and split == "test" else table
            scaled = make_scaling(scaling, table.x, reference.x)
        y, order, description = _chosen(table, classes, samples, seed)
        if scaled is not None:
            description += f", {scaled}"
        description += f", permutation seed {seed}"
        return _stored(table, y, order, blocks, description, scaled, split, into, progress)


def _chosen(
    table: Table, classes: Sequence[int] | None, samples: int | None, seed: int
) -> tuple[Samples, Indices, str]:
    """Targets, the indices of the samples that are kept, in their order, and words for all that."""
    x, y, description = table.x, table.y, table.description
    if x.shape[0] != len(y):
        raise InputError(f"x has {x.shape[0]} samples and y has {len(y)}; give one target per sample")
    kept = np.arange(len(y))
    if classes is not None:
        y, kept = _keep_classes(y, classes)
        description += f", classes {list(classes)} as 0…{len(classes) - 1}"
    order = kept[np.random.Generator(np.random.Philox(seed)).permutation(len(kept))]
    if samples is not None:
        if samples > len(kept):
            raise InputError(f"data.samples={samples}, but the source holds {len(kept)}; lower data.samples")
        order = order[:samples]
        description += f", {samples} samples"
    return y, order, description


def _stored(
    table: Table,
    y: Samples,
    order: Indices,
    blocks: int | None,
    description: str,
    scaling: Scaling | None,
    split: str,
    into: Path | None,
    progress: Callable[[str], None],
) -> BlockStore:
    targets = checked_targets(y)

    def write(sink: Any) -> None:
        write_rows(sink, table.x, targets, order, blocks, description, scaling, split, progress)

    if into is None:
        sink = pa.BufferOutputStream()
        write(sink)
        return BlockStore.from_bytes(sink.getvalue())
    write_whole(into, lambda temporary: write(str(temporary)))
    return BlockStore.open(into)


def _keep_classes(y: Samples, classes: Sequence[int]) -> tuple[Samples, Indices]:
    """Labels with the classes renumbered, and the indices of their samples."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise InputError("data.classes needs integer labels; remove it for real-valued targets")
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise InputError(f"data.classes={list(classes)} must name at least two different classes")
    absent = sorted(set(classes) - set(np.unique(y).tolist()))
    if absent:
        raise InputError(f"data.classes names {absent}, which no sample has; remove them")
    renumbered = np.full(len(y), -1, dtype=np.int64)
    for number, label in enumerate(classes):
        renumbered[y == label] = number
    return renumbered, np.flatnonzero(renumbered >= 0)


def _digits(request: Request) -> Table:
    from sklearn.datasets import load_digits

    if request.path is not None:
        raise InputError("data.source=digits is bundled and takes no data.path; remove data.path")
    if request.split == "test":
        raise request.no_test_split("take another source")
    x, y = load_digits(return_X_y=True)
    images = (x.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    return Table(ArrayRows(images), y, "handwritten digits (scikit-learn), 1×8×8, grey levels divided by 16")


def _open_store(path: str | None, split: str, scaling: str | None) -> BlockStore:
    if path is None:
        raise InputError("data.source=store needs data.path, a file that `distlandscape data import` wrote")
    store = BlockStore.open(path)
    if store.split != split:
        raise InputError(f"{path} holds the {store.split} split; set data.split={store.split} or import the other one")
    if scaling is not None:
        raise InputError(f"{path} keeps the scaling it was imported with; remove data.scaling or import again")
    return store


def _table_of(store: BlockStore) -> Table:
    """A store as a source: its blocks one after the other."""
    parts = [_BlockRows(store, index) for index in range(store.blocks)]
    y = np.concatenate([store.block(index)[1] for index in range(store.blocks)])
    return Table(JoinedRows(parts), y, store.description)


class _BlockRows:
    """Samples of one block, read when they are taken."""

    def __init__(self, store: BlockStore, index: int) -> None:
        x = store.block(index)[0]
        self.dtype, self.shape = x.dtype, x.shape
        self._store, self._index = store, index

    def take(self, indices: Indices) -> Samples:
        """See Rows.take."""
        taken: Samples = self._store.block(self._index)[0][indices]
        return taken


def _store_source(request: Request) -> Table:
    return _table_of(_open_store(request.path, request.split, None))


SOURCES: dict[str, Callable[[Request], Table]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "digits": _digits,
    "fashion_mnist": fashion_mnist,
    "idx": idx,
    "image_folder": image_folder,
    "npz": npz,
    "parquet": parquet,
    "store": _store_source,
    "torch": torch_dataset,
}
