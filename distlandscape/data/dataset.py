"""Any map-style dataset of torch, by the import path of what makes it."""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from distlandscape.data.request import Request, Table
from distlandscape.data.rows import Samples, staged
from distlandscape.errors import InputError


def torch_dataset(request: Request) -> Table:
    """Items (x, y) of the dataset ``package.module:factory`` makes; x a tensor, array or image, y a number or array.

    The factory is called with data.options, and with ``split`` where it takes that.
    """
    factory = _import(request)
    options = dict(request.options)
    if _takes_split(factory):
        options.setdefault("split", request.split)
    elif request.split == "test":
        raise request.no_test_split("let the factory take an argument named split")
    try:
        dataset = factory(**options)
        count = len(dataset)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the dataset {request.path} cannot be made ({_brief(error)}); correct data.options"
        ) from error
    targets: list[Samples] = []

    def parts() -> Iterator[Samples]:
        for index in range(count):
            x, y = _item(dataset, index, request)
            targets.append(y)
            yield x[None]

    x = staged(parts(), request.scratch / "x", request.progress)
    shapes = {y.shape for y in targets}
    if len(shapes) > 1:
        raise InputError(f"targets of {request.path} have shapes {sorted(shapes)}; make them equal")
    return Table(x, np.stack(targets), f"dataset {request.path}, {request.split} split")


def _item(dataset: Any, index: int, request: Request) -> tuple[Samples, Samples]:
    try:
        item = dataset[index]
        x, y = item
        x, y = np.asarray(x), np.asarray(y)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"item {index} of {request.path} is no pair (x, y) of arrays ({_brief(error)}); return such pairs"
        ) from error
    if x.dtype == np.uint8 and x.ndim == 3 and not hasattr(item[0], "numpy") and x.shape[2] in (1, 3):
        x = x.transpose(2, 0, 1)  # an image, channels last
    elif hasattr(item[0], "getbands") and x.ndim == 2:
        x = x[None]  # a grey image
    return x, y


def _import(request: Request) -> Callable[..., Any]:
    module, colon, attribute = (request.path or "").partition(":")
    if not module or not colon or not attribute:
        raise InputError("data.source=torch needs data.path=package.module:factory, what makes the dataset")
    try:
        factory: Any = importlib.import_module(module)
        for name in attribute.split("."):
            factory = getattr(factory, name)
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        raise InputError(
            f"cannot import dataset {request.path!r} ({_brief(error)}); give package.module:factory of an installed"
            " module"
        ) from error
    if not callable(factory):
        raise InputError(f"dataset {request.path!r} is not callable; name a function or class that makes it")
    function: Callable[..., Any] = factory
    return function


def _takes_split(factory: Callable[..., Any]) -> bool:
    try:
        return "split" in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False


def _brief(error: BaseException) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder="…")
