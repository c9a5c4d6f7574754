"""Products with the residual term Σ_k (∂ℓ/∂z_k) ∂²z_k/∂θ², what the Hessian has beyond Gauss-Newton."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distlandscape.curvature.forward import unpack_dual
from distlandscape.curvature.hessian import SecondDerivative
from distlandscape.objective import Batch, Objective


def loss_slope(objective: Objective, logits: Tensor, y: Tensor) -> Tensor:
    """∂ℓ/∂z of each sample (n, C), without history or tangent."""
    z: Tensor = unpack_dual(logits).primal.detach().requires_grad_(True)
    loss = objective.loss(z, y).sum()
    return torch.autograd.grad(loss, z)[0] if loss.requires_grad else torch.zeros_like(z)


def frozen_slope_times_logits(objective: Objective, leaves: Sequence[Tensor], batch: Batch) -> Tensor:
    """Σ stop_gradient(∂ℓ/∂z)·z: its Hessian is the residual term, exact also where it is small beside the rest."""
    logits = objective.logits(leaves, batch.x)
    return (loss_slope(objective, logits, batch.y) * logits).sum()


residual_products = SecondDerivative(frozen_slope_times_logits)
"""Sum over the micro-batch of the residual term times each row of (K, P)."""
