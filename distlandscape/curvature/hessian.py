"""Hessian-vector products by double backward (Pearlmutter 1994)."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature.flat import pullbacks
from distlandscape.objective import Objective


def hessian_products(objective: Objective, x: Tensor, y: Tensor, V_KP: Tensor) -> tuple[Tensor]:
    """Sum over the micro-batch of ∇²ℓ · v for each row v of ``V_KP``; (K, P).

    Cost: forward and first backward once, one second backward a vector.
    """
    leaves = objective.leaves()
    loss = objective.loss_sum(leaves, x, y)
    if not loss.requires_grad:  # the loss does not depend on θ
        return (V_KP.new_zeros(V_KP.shape),)
    gradient = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
    return (pullbacks(objective, gradient, leaves, [objective.split(v) for v in V_KP]),)
