"""Quantities of an objective that cost one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature import loss_and_gradient
from distlandscape.objective import Objective
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.runner import Runner


def gradient(objective: Objective, pool: Runner | None = None) -> Tensor:
    """Gradient (P,) of the mean loss over all samples; one pass."""
    return loss_accuracy_gradient(objective, pool)[2]


def loss_accuracy_gradient(objective: Objective, pool: Runner | None = None) -> tuple[float, float, Tensor]:
    """Mean loss, share of correct answers (nan without labels) and gradient (P,); one pass."""
    runner = pool if pool is not None else LocalRunner()
    totals, sums = runner.map_blocks(objective, loss_and_gradient)
    loss, accuracy = (float(v) for v in totals / objective.samples)
    return loss, accuracy, torch.from_numpy(sums / objective.samples).to(objective.dtype)
