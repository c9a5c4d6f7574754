"""Products with the residual term Σ_k (∂ℓ/∂z_k) ∂²z_k/∂θ², what the Hessian has beyond Gauss-Newton."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature.hessian import second_derivatives
from distlandscape.objective import Batch, Objective


def residual_products(objective: Objective, batch: Batch, V_KP: Tensor) -> tuple[Tensor]:
    """Sum over the micro-batch of the residual term times each row of ``V_KP``; (K, P).

    The Hessian of Σ stop_gradient(∂ℓ/∂z)·z: not a difference, so it stays exact where it is small beside the rest.
    Cost: forward and first backward once, one second backward a vector.

    Raises:
        InputError: an operation of the model has no second derivative.
    """
    leaves = objective.leaves()
    logits = objective.logits(leaves, batch.x)
    scalar = (loss_slope(objective, logits, batch.y) * logits).sum()
    return (second_derivatives(objective, scalar, leaves, V_KP),)


def loss_slope(objective: Objective, logits: Tensor, y: Tensor) -> Tensor:
    """∂ℓ/∂z of each sample (n, C), without history."""
    z = logits.detach().requires_grad_(True)
    loss = objective.loss(z, y).sum()
    return torch.autograd.grad(loss, z)[0] if loss.requires_grad else torch.zeros_like(z)
