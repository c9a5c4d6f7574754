"""From a name or an import path to a network with seeded initial weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from distlandscape.errors import InputError
from distlandscape.models.zoo import cnn, mlp

ZOO: dict[str, Callable[..., nn.Module]] = {"mlp": mlp, "cnn": cnn}


def build_model(name: str, input_shape: Sequence[int], outputs: int, options: dict[str, Any], seed: int) -> nn.Module:
    """Build a network of the zoo, or call ``package.module:factory`` with ``options`` alone.

    Initial weights depend on ``seed`` only; the global random state is left as it was.

    Raises:
        InputError: unknown name, failed import, options the factory does not take, or a result that is no module.
    """
    foreign = ":" in name
    factory = _import(name) if foreign else ZOO.get(name)
    if factory is None:
        raise InputError(f"unknown model.name {name!r}; known: {', '.join(sorted(ZOO))}, or package.module:factory")
    arguments = () if foreign else (tuple(input_shape), outputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = factory(*arguments, **options)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"model {name} cannot be built with options {options}: {error}; correct them") from error
    if not isinstance(model, nn.Module):
        raise InputError(
            f"model {name} made a {type(model).__name__}, not a torch.nn.Module; name a factory of modules"
        )
    return model


def _import(path: str) -> Callable[..., nn.Module]:
    module, _, attribute = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"cannot import model {path!r}: {error}; give package.module:factory") from None
    if not callable(factory):
        raise InputError(f"model {path!r} is not callable; name a function or class that returns a module")
    result: Callable[..., nn.Module] = factory
    return result
