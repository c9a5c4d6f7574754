"""From a name or an import path to a network with seeded initial weights."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from distlandscape.errors import InputError
from distlandscape.foreign import Kind, resolve
from distlandscape.models.convolutional import cnn, lenet
from distlandscape.models.fully_connected import mlp
from distlandscape.models.residual import of_depth, resnet18, wide_resnet
from distlandscape.models.transformer import vit

MODEL = Kind(
    "model",
    "a module",
    "torch.nn.Module",
    lambda found: issubclass(found, nn.Module),
    known=("timm:create_model", "transformers:_BaseAutoModelClass.from_pretrained"),
    remedies={
        name: f"install it, pip install {name}, or all of pip install 'distlandscape[models]'"
        for name in ("timm", "torchvision", "transformers")
    },
)
MAX_OUTPUTS = 2**20  # beyond this, labels are no class numbers
ZOO: dict[str, Callable[..., nn.Module]] = {
    "cnn": cnn,
    "lenet": lenet,
    "mlp": mlp,
    **{f"resnet{depth}": of_depth(depth) for depth in (20, 32, 56, 110)},
    "resnet18": resnet18,
    "vit": vit,
    "wide_resnet": wide_resnet,
}


def build_model(name: str, input_shape: Sequence[int], outputs: int, options: dict[str, Any], seed: int) -> nn.Module:
    """Build a network of the zoo, or call ``package.module:factory`` with ``options`` alone, just as they are.

    The factory may lie deeper, as in ``package.module:Class.method``; see ``foreign.resolve`` for what it has to be.
    Initial weights depend on ``seed`` only; the global random state is left as it was.

    Raises:
        InputError: unknown name, failed import, a name that is refused, options the factory does not take, or a
            result that is no module.
    """
    foreign = ":" in name
    factory = resolve(name, MODEL, options) if foreign else ZOO.get(name)
    if factory is None:
        raise InputError(f"unknown model.name {name!r}; known: {', '.join(sorted(ZOO))}, or package.module:factory")
    if not foreign:
        known = list(inspect.signature(factory).parameters)[2:]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise InputError(f"model {name} has no option {unknown[0]!r}; known in model.options: {', '.join(known)}")
        if outputs > MAX_OUTPUTS:
            raise InputError(f"the labels ask for {outputs} outputs; number the classes 0…C−1")
    arguments = () if foreign else (tuple(input_shape), outputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = factory(*arguments, **options)
        except InputError:
            raise
        except Exception as error:
            reason = textwrap.shorten(str(error), 200, placeholder="…") or type(error).__name__
            given = textwrap.shorten(str(options), 200, placeholder="…")
            raise InputError(f"model {name} cannot be built with options {given}: {reason}; correct them") from error
    if not isinstance(model, nn.Module):
        raise InputError(
            f"model {name} made a {type(model).__name__}, not a torch.nn.Module; name a factory of modules"
        )
    return model
