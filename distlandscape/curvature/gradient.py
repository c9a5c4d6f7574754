"""Loss, number of correct answers and gradient in one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature.flat import pullbacks
from distlandscape.objective import Batch, Objective


def loss_and_gradient(objective: Objective, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sums over the micro-batch: (loss, correct answers) as (2,) and the gradient (P,), without weight decay.

    Correct answers are counted where y holds labels, and are nan otherwise.
    """
    leaves = objective.leaves()
    y = batch.y
    logits = objective.logits(leaves, batch.x)
    losses = objective.loss(logits, y)
    labels = y.ndim == 1 and not y.is_floating_point()
    correct = (logits.detach().argmax(1) == y).sum().double() if labels else torch.tensor(float("nan"))
    totals = torch.stack([losses.detach().double().sum(), correct.to(losses.device, torch.float64)])
    return totals, pullbacks(objective, [losses.sum()], leaves, [[torch.ones_like(losses.sum())]])[0]
