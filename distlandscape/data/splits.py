"""Whether a source has a test split, told from names of files and arrays alone."""

from __future__ import annotations

from collections.abc import Callable

from distlandscape.data import cifar, dataset, digits, idx, image_folder, npz, parquet, stored
from distlandscape.data.source import Request
from distlandscape.errors import InputError

_HAS_TEST: dict[str, Callable[[Request], bool]] = {
    "digits": digits.has_test,
    "npz": npz.has_test,
    "idx": idx.has_test,
    "fashion_mnist": idx.has_test,
    "cifar10": cifar.has_test,
    "cifar100": cifar.has_test,
    "image_folder": image_folder.has_test,
    "parquet": parquet.has_test,
    "torch": dataset.has_test,
    "store": stored.has_test,
}


def has_test_split(source: str, path: str | None = None) -> bool:
    """Whether ``load_source(source, path, split="test")`` has something to read; no sample is read to know.

    Of the source "store", whether its samples are those of a test split.

    Raises:
        InputError: unknown source, no such path, or an archive, store or factory that cannot be opened.
    """
    if source not in _HAS_TEST:
        raise InputError(f"unknown data.source {source!r}; known: {', '.join(_HAS_TEST)}")
    return _HAS_TEST[source](Request(source, path))
