"""The loss along a line through the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.measures import loss_accuracy_gradient
from distlandscape.runtime.runner import Runner


def loss_along(
    objective: Objective, direction_P: Tensor, distances: Sequence[float], pool: Runner | None = None
) -> list[float]:
    """L(θ + a·direction) at each distance a, weight decay included; one pass each.

    Raises:
        InputError: a direction of another length, or weights there that are not finite.
    """
    if direction_P.shape != objective.theta.shape:
        raise InputError(
            f"the direction has shape {tuple(direction_P.shape)}, the objective {objective.parameters} parameters;"
            " give one number each"
        )
    runner = pool if pool is not None else LocalRunner()
    return [loss_accuracy_gradient(moved(objective, a * direction_P), runner)[0] for a in distances]


def moved(objective: Objective, step_P: Tensor) -> Objective:
    """The same objective at θ + step."""
    return placed(objective, objective.theta.double() + step_P.double())


def placed(objective: Objective, theta_P: Tensor) -> Objective:
    """The same objective at other values of its parameters, whatever their precision."""
    state = {name: value for name, value in objective.model.state_dict().items() if isinstance(value, torch.Tensor)}
    changed = dict(state)
    for name, piece in zip(objective.names, objective.split(theta_P), strict=True):
        for twin, tensor in state.items():  # a tied parameter stands there under several names
            if name == twin or (tensor.data_ptr() == state[name].data_ptr() and tensor.shape == piece.shape):
                changed[twin] = piece.to(objective.dtype)
    with torch.no_grad():
        return objective.with_weights(changed)
