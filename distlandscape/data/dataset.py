"""``data.source=torch``: the items of a map-style dataset that a user's factory makes."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from distlandscape.data.arrays import Indices, Samples
from distlandscape.data.images import pixels
from distlandscape.data.source import CHUNK, Request, Source
from distlandscape.errors import InputError
from distlandscape.foreign import Kind, resolve

Item = tuple[Samples, Samples]


def open_dataset(request: Request) -> Source:
    """Call ``package.module:factory`` with ``data.options``, and with ``split`` if it takes that.

    The result needs ``__len__`` and ``__getitem__``, which gives (sample, target): tensors, arrays or numbers, the
    sample also as an image of Pillow. Without ``data.classes``, only what is wanted is asked for.

    Raises:
        InputError: failed import or call, a name that ``foreign.resolve`` refuses, no dataset, or items that are not
            all alike.
    """
    path = _path(request)
    factory = _factory(request)
    options = dict(request.options)
    if _takes_split(factory):
        if "split" in options:
            raise InputError("data.options must not hold 'split', which data.split decides; remove it")
        options["split"] = request.split
    else:
        request.train_only(f"give {path} a parameter named split")
    with _told(f"dataset {path} cannot be built with options {options}"):
        dataset: Any = factory(**options)
    with _told(f"{path} made a {type(dataset).__name__}, no dataset with __len__ and __getitem__"):
        length = len(dataset)
    if not length:
        raise InputError(f"dataset {path} is empty; give at least one sample")
    return _Dataset(f"dataset {path}, {request.split} split", dataset, length, _item(dataset, path, 0))


def has_test(request: Request) -> bool:
    """Whether the factory takes a split."""
    return _takes_split(_factory(request))


@dataclass(frozen=True)
class _Dataset:
    description: str
    dataset: Any
    length: int
    first: Item

    def __len__(self) -> int:
        return self.length

    def targets(self) -> Samples:
        """All items are asked for."""
        return np.stack([self._like_first(index)[1] for index in range(self.length)])

    def chunks(self, wanted: Indices) -> Iterator[tuple[Samples, Samples]]:
        """Only the wanted items are asked for."""
        count = max(1, CHUNK // max(1, self.first[0].nbytes))
        for start in range(0, len(wanted), count):
            items = [self._like_first(index) for index in wanted[start : start + count].tolist()]
            yield np.stack([x for x, _ in items]), np.stack([y for _, y in items])

    def _like_first(self, index: int) -> Item:
        item = _item(self.dataset, self.description, index)
        for name, mine, first in zip(("sample", "target"), item, self.first, strict=True):
            if (mine.shape, mine.dtype) != (first.shape, first.dtype):
                raise InputError(
                    f"{self.description}: the {name} of item {index} is {mine.dtype} {mine.shape}, that of item 0"
                    f" {first.dtype} {first.shape}; make all items alike"
                )
        return item


def _item(dataset: Any, name: str, index: int) -> Item:
    with _told(f"item {index} of {name} cannot be had"):
        item: Any = dataset[index]
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise InputError(f"item {index} of {name} is a {type(item).__name__}, not (sample, target); return a pair")
    with _told(f"item {index} of {name} cannot be made arrays"):
        x, y = (_array(part, f"item {index} of {name}") for part in item)
    return x, y.astype(np.int64) if not y.ndim and y.dtype.kind in "iub" else y


def _array(value: Any, name: str) -> Samples:
    from PIL import Image

    if isinstance(value, Image.Image):
        return pixels(value, name)
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _path(request: Request) -> str:
    if request.path is None or ":" not in request.path:
        raise InputError("data.source=torch needs data.path, the package.module:factory of a dataset")
    return request.path


def _factory(request: Request) -> Callable[..., Any]:
    return resolve(_path(request), DATASET, request.options)


def _is_dataset(found: type) -> bool:
    """Whether it is a class of torch's datasets, by name: without torch there is none."""
    return any((base.__module__, base.__name__) == ("torch.utils.data.dataset", "Dataset") for base in found.__mro__)


DATASET = Kind("dataset", "a dataset", "torch.utils.data.Dataset", _is_dataset)


def _takes_split(factory: Callable[..., Any]) -> bool:
    try:
        return "split" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some callables have none
        return False


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """The failure of the user's code as a sentence."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} ({_reason(error)}); correct data.path, data.options or the dataset") from error


def _reason(error: BaseException) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder="…")
