"""That targets fit the outputs of a model and its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distlandscape.data.blocks import BlockStore
from distlandscape.errors import InputError
from distlandscape.objective.losses import mse

if TYPE_CHECKING:
    from distlandscape.objective.objective import Objective


def check_targets(objective: Objective, outputs: int) -> None:
    """Raise InputError where targets do not fit C outputs; reads all of them."""
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
            column = "; give y[:, 0]" if y.ndim == 2 and y.shape[1] == 1 else "; use loss mse for real targets"
            raise InputError(f"cross_entropy needs whole-number labels of shape (N,){column}")
        labels = y.ndim == 1 and y.dtype.kind == "i" and (objective.classification or objective.loss is mse)
        if labels and not 0 <= y.min() <= y.max() < outputs:
            raise InputError(
                f"labels run from {y.min()} to {y.max()}, the model has {outputs} outputs: labels must be"
                f" 0…{outputs - 1}; correct the labels or the model"
            )
    if objective.classification and outputs == 1:
        raise InputError(
            "the model has 1 output, whose cross_entropy is 0 for all weights; give it 2, or a loss of your own"
            " (binary_cross_entropy_with_logits, one value a sample)"
        )
