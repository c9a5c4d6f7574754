"""Gauss-Newton products Jᵀ (∂²ℓ/∂z²) J v (Schraudolph 2002), J by two reverse sweeps."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature.flat import pullbacks
from distlandscape.objective import Objective


def gauss_newton_products(objective: Objective, x: Tensor, y: Tensor, V_KP: Tensor) -> tuple[Tensor]:
    """Sum over the micro-batch of Jᵀ (∂²ℓ/∂z²) J v for each row v of ``V_KP``; (K, P).

    Cost: forward and one backward once; a backward through that, and one backward, a vector.
    """
    leaves = objective.leaves()
    logits = objective.logits(leaves, x)
    if not logits.requires_grad:  # they do not depend on θ
        return (V_KP.new_zeros(V_KP.shape),)
    # u ↦ Jᵀu is linear in u, so its derivative with respect to u, contracted with v, is Jv.
    u = torch.zeros_like(logits, requires_grad=True)
    pulled = torch.autograd.grad(logits, leaves, u, create_graph=True, allow_unused=True, materialize_grads=True)
    z = logits.detach().requires_grad_(True)
    loss = objective.loss(z, y).sum()
    slope = torch.autograd.grad(loss, z, create_graph=True)[0] if loss.requires_grad else z.detach()
    cotangents = []
    for v in V_KP:
        moving = [(p, t) for p, t in zip(pulled, objective.split(v), strict=True) if p.requires_grad]
        outputs, tangents = [p for p, _ in moving], [t for _, t in moving]
        jv = torch.autograd.grad(outputs, u, tangents, retain_graph=True)[0]
        cotangents.append(
            torch.autograd.grad(slope, z, jv, retain_graph=True)[0] if slope.requires_grad else torch.zeros_like(jv)
        )
    return (pullbacks(objective, [logits], leaves, [[c] for c in cotangents]),)
