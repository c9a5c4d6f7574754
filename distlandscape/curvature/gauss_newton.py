"""Gauss-Newton products Jᵀ (∂²ℓ/∂z²) J v (Schraudolph 2002)."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature.jacobian import Linearisation
from distlandscape.objective import Batch, Objective


def gauss_newton_products(objective: Objective, batch: Batch, V_KP: Tensor) -> tuple[Tensor]:
    """Sum over the micro-batch of Jᵀ (∂²ℓ/∂z²) J v for each row v of ``V_KP``; (K, P).

    Cost: forward and one backward once; a backward through that, and one backward, a vector.

    Raises:
        InputError: an operation of the model has no second derivative.
    """
    linear = Linearisation(objective, batch.x)
    if not linear.depends:
        return (V_KP.new_zeros(V_KP.shape),)
    z = linear.logits.detach().requires_grad_(True)
    loss = objective.loss(z, batch.y).sum()
    slope = torch.autograd.grad(loss, z, create_graph=True)[0] if loss.requires_grad else z.detach()
    cotangents = []
    for v in V_KP:
        jv = linear.push(v)
        curved = slope.requires_grad
        cotangents.append(torch.autograd.grad(slope, z, jv, retain_graph=True)[0] if curved else torch.zeros_like(jv))
    return (linear.pull(cotangents),)
