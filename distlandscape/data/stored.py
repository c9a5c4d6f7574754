"""``data.source=store``: a block store file that was imported before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distlandscape.data.arrays import Samples
from distlandscape.data.blocks import BlockStore
from distlandscape.data.source import Request, Source, Streamed, chunk_sizes
from distlandscape.errors import InputError


def open_stored(request: Request, scaling: str | None) -> BlockStore:
    """The store as it is; ``scaling`` is what was asked for.

    Raises:
        InputError: no store, damaged, of another split, or of another scaling.
    """
    path = request.required_path("a file written by distlandscape data import")
    store = BlockStore.open(path)
    if not store.intact():
        raise InputError(f"{path} is damaged: its samples do not have the digest it names; import the data again")
    if store.split != "test":
        request.train_only("import one with data.split=test")
    kept = "none" if store.scaling is None else store.scaling.name
    if scaling not in (None, kept):
        raise InputError(
            f"{path} was imported with data.scaling={kept}, not {scaling}; remove data.scaling, or import it again"
        )
    return store


def has_test(request: Request) -> bool:
    """Whether the store was imported from a test split."""
    return BlockStore.open(request.required_path("a file written by distlandscape data import")).split == "test"


def source_of(store: BlockStore) -> Source:
    """Samples and targets of a store in its order."""
    y = np.concatenate([store.block(index)[1] for index in range(store.blocks)])

    def read() -> Iterator[Samples]:
        for index in range(store.blocks):
            x, start = store.block(index)[0], 0
            for count in chunk_sizes(len(x), x[:1].nbytes):
                yield x[start : start + count]
                start += count

    return Streamed(store.description, y, read)
