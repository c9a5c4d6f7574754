"""What is looked at before anything is computed: that model, data and loss fit together."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from distlandscape.data.blocks import BlockStore
from distlandscape.errors import InputError
from distlandscape.objective.losses import mse

if TYPE_CHECKING:
    from distlandscape.objective.objective import Objective

SAME_SAMPLE = 1e-3  # relative; float32 convolutions of one and of two samples differ by rounding only


def brief(error: Exception) -> str:
    """The error's message on one line."""
    return textwrap.shorten(str(error), 200, placeholder="…") or type(error).__name__


def parameter_dtype(model: nn.Module) -> torch.dtype:
    """Type of the first parameter."""
    for parameter in model.parameters():
        return parameter.dtype
    raise InputError("the model has no parameters, so there is nothing to differentiate; give a model with some")


def selected(names: list[str], patterns: Sequence[str] | None) -> list[str]:
    """Names that match a pattern, or lie in a layer named by one, in the order of ``names``."""
    if patterns is None:
        return names
    if isinstance(patterns, str):
        raise InputError(f"objective.parameters must be a list of patterns, not one text; give [{patterns!r}]")

    def matches(name: str, pattern: str) -> bool:
        return fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")

    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise InputError(f"objective.parameters: no parameter matches {pattern!r}; there are {_listed(names)}")
    chosen = [name for name in names if any(matches(name, pattern) for pattern in patterns)]
    if not chosen:
        raise InputError("objective.parameters selects nothing; name at least one pattern, for example '*weight'")
    return chosen


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:12])} and {len(names) - 12} more"


def check_sample(objective: Objective) -> int:
    """Number of logits, after a forward pass of a sample or two.

    Raises:
        InputError: the model does not take the samples, its output is no logits or not a function of each sample
            alone, or targets and loss do not fit.
    """
    x, y = (array[:2] for array in objective.data.block(0))  # two samples, where there are, tell a mean from a value
    n = len(x)
    inputs, targets = objective.tensors(x, y, next(objective.model.parameters()).device)
    leaves = objective.leaves()
    try:
        with torch.no_grad():
            logits: Any = objective.logits(leaves, inputs)
    except InputError:
        raise
    except Exception as error:
        hint = "" if inputs.is_floating_point() else " and type (whole numbers stay so; convert them to float32)"
        raise InputError(
            f"the model does not accept samples of shape {x.shape[1:]} ({brief(error)}); give data that fit it in"
            f" shape{hint}"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != n:
        raise InputError("the model must return logits of shape (n, C) for n samples; wrap it so that it does")
    _require_one_function(objective, leaves, inputs, logits)
    _check_targets(objective, logits.shape[1])
    try:
        values: Any = objective.loss(logits, targets)
    except Exception as error:
        raise InputError(
            f"the loss cannot be computed from these targets ({brief(error)}); give targets that fit"
        ) from error
    if not isinstance(values, Tensor) or values.shape != (n,):
        what = f"shape {tuple(values.shape)} for n = {n}" if isinstance(values, Tensor) else type(values).__name__
        raise InputError(f"the loss must return one value a sample, (n,), not {what}; do not average or sum it")
    return int(logits.shape[1])


def _require_one_function(objective: Objective, leaves: list[Tensor], inputs: Tensor, logits: Tensor) -> None:
    """A sample's logits must not depend on chance, nor on the samples beside it; micro-batches would matter then."""
    with torch.no_grad():
        again = objective.logits(leaves, inputs)
        alone = objective.logits(leaves, inputs[:1])
    size = float(logits.abs().max())
    if not torch.isfinite(logits).all():
        return  # of no use for a comparison, and the loss will tell
    if float((again - logits).abs().max()) > SAME_SAMPLE * size:
        raise InputError(
            "the model gives other logits for the same samples a second time; switch off what draws at random"
            " (functional dropout needs training=self.training)"
        )
    if float((alone - logits[:1]).abs().max()) > SAME_SAMPLE * size:
        raise InputError(
            "a sample's logits depend on the other samples of its batch; use layers with stored statistics, or"
            " nn.BatchNorm with norm='batch'"
        )


def _check_targets(objective: Objective, outputs: int) -> None:
    data: BlockStore = objective.data
    for index in range(data.blocks):
        y = data.block(index)[1]
        if y.ndim == 2 and objective.loss is mse and y.shape[1] != outputs:
            raise InputError(f"targets have {y.shape[1]} columns, the model {outputs} outputs; make them equal")
        if objective.loss is mse and y.ndim == 1 and y.dtype.kind == "f" and outputs != 1:
            raise InputError(
                f"targets are single numbers, the model has {outputs} outputs; give (N, {outputs}) targets"
            )
        if objective.classification and (y.ndim != 1 or y.dtype.kind != "i"):
            raise InputError("cross_entropy needs whole-number labels of shape (N,); use loss mse for real targets")
        labels = y.ndim == 1 and y.dtype.kind == "i" and (objective.classification or objective.loss is mse)
        if labels and not 0 <= y.min() <= y.max() < outputs:
            raise InputError(
                f"labels run from {y.min()} to {y.max()}, the model has {outputs} outputs: labels must be"
                f" 0…{outputs - 1}; correct the labels or the model"
            )
