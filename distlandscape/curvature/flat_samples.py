"""Samples whose loss has no curvature in the logits left, in the arithmetic at hand.

Shapes: n samples of a micro-batch, C logits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.objective import Batch, Objective


def flat_sums(objective: Objective, batch: Batch) -> tuple[Tensor]:
    """Numbers of samples (3,) with diag p − p pᵀ exactly 0 in float32, in float64, and with a p that is 1 in float32.

    The matrix is 0 once all p are 0 or 1 to the last bit: then neither Gauss-Newton term nor, at a right answer,
    gradient knows of the sample. Long before, p rounds to 1 and 1 − p is lost. Cost: one forward pass.
    """
    with torch.no_grad():
        z_nC = objective.logits(objective.leaves(), batch.x)
        counts = [_flat(z_nC.to(dtype)) for dtype in (torch.float32, torch.float64)]
        rounded = z_nC.float().softmax(1).amax(1) == 1
        return (torch.stack([count.double().sum() for count in (*counts, rounded)]),)


def _flat(z_nC: Tensor) -> Tensor:
    p_nC = z_nC.softmax(1)
    return ((p_nC == 0) | (p_nC == 1)).all(1)
