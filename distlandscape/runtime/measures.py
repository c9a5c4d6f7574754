"""Quantities of an objective that cost one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature import loss_and_gradient
from distlandscape.objective import Objective
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.runner import Runner, check_given


def gradient(objective: Objective, pool: Runner | None = None) -> Tensor:
    """Gradient (P,) of the objective, the mean over all samples, weight decay included.

    Args:
        objective: the function whose gradient it is.
        pool: a ``Pool``; None computes in this process.

    Returns:
        A tensor in the objective's precision; sums are in float64. Cost: one pass.

    Raises:
        InputError: what is given is no objective or no pool, or the gradient is not finite.
    """
    return loss_accuracy_gradient(objective, pool)[2]


def loss_accuracy_gradient(objective: Objective, pool: Runner | None = None) -> tuple[float, float, Tensor]:
    """Objective (weight decay included), share of correct answers (nan without labels), gradient (P,); one pass."""
    check_given(objective, pool)
    runner = pool if pool is not None else LocalRunner()
    totals, sums = runner.map_blocks(objective, loss_and_gradient)
    loss, accuracy = (float(v) for v in totals / objective.samples)
    theta = objective.theta.double()
    loss += 0.5 * objective.weight_decay * float(theta.square().sum())
    gradient_P = torch.from_numpy(sums / objective.samples) + objective.weight_decay * theta
    return loss, accuracy, gradient_P.to(objective.dtype)
