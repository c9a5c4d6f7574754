"""Gauss-Newton products Jᵀ (∂²ℓ/∂z²) J v (Schraudolph 2002)."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature.jacobian import Bend, Sandwich
from distlandscape.objective import Objective


def loss_curvature(objective: Objective, y: Tensor, first: int, logits: Tensor) -> Bend:
    """The map u ↦ (∂²ℓ/∂z²) u of each sample, by differentiating the loss twice."""
    z = logits.requires_grad_(True)
    loss = objective.loss(z, y).sum()
    slope = torch.autograd.grad(loss, z, create_graph=True)[0] if loss.requires_grad else z.detach()

    def bend(jv: Tensor) -> Tensor:
        if not slope.requires_grad:  # a loss linear in z
            return torch.zeros_like(jv)
        return torch.autograd.grad(slope, z, jv, retain_graph=True)[0]

    return bend


gauss_newton_products = Sandwich(loss_curvature)
"""Sum over the micro-batch of Jᵀ (∂²ℓ/∂z²) J v for each row v of (K, P)."""
