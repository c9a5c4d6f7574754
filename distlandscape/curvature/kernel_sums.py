"""Pieces of the empirical neural tangent kernel J Jᵀ, and of the linearised network.

Every sample adds its own rows to an array that is zero elsewhere, so sums over micro-batches put the pieces together.
Shapes: N samples in all, n samples of a micro-batch, C logits, B rows of other samples, P parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature.jacobian import Linearisation
from distlandscape.curvature.logit_gradients import gradient_chunks
from distlandscape.objective import Batch, Objective


def gradient_rows(objective: Objective, batch: Batch, first: int, count: int) -> tuple[Tensor]:
    """Gradients of all logits of samples first … first + count − 1, (count, C, P).

    Cost: one forward and C backward passes of these samples.
    """
    C = objective.outputs
    rows = batch.x.new_zeros(count, C, objective.parameters)
    low, high = max(first, batch.first), min(first + count, batch.first + len(batch.x))
    if low < high:
        x = batch.x[low - batch.first : high - batch.first]
        for part, found in gradient_chunks(objective, x, _every_logit(x, C)):
            rows[low - first :][part] = found
    return (rows,)


def kernel_columns(objective: Objective, batch: Batch, rows_BP: Tensor) -> tuple[Tensor]:
    """Inner products of every logit's gradient with the given rows, (N, C, B).

    Cost: one forward and C backward passes.
    """
    C = objective.outputs
    columns = batch.x.new_zeros(objective.samples, C, len(rows_BP), dtype=torch.float64)
    for part, found in gradient_chunks(objective, batch.x, _every_logit(batch.x, C)):
        columns[batch.first :][part] = found @ rows_BP.to(found).T
    return (columns,)


def linearised_rows(objective: Objective, batch: Batch, step_P: Tensor) -> tuple[Tensor]:
    """Z + J·step, the logits of the network linearised at θ, where θ + step is; (N, C).

    Cost: one forward and two backward passes.
    """
    rows = batch.x.new_zeros(objective.samples, objective.outputs, dtype=torch.float64)
    linear = Linearisation(objective, batch.x)
    moved = linear.logits.detach()
    if linear.depends:
        moved = moved + linear.push(step_P)
    rows[batch.first : batch.first + len(moved)] = moved
    return (rows,)


def _every_logit(x: Tensor, C: int) -> Tensor:
    return torch.eye(C, dtype=x.dtype, device=x.device).expand(len(x), C, C)
