"""Hessian-vector products by double backward (Pearlmutter 1994)."""

from __future__ import annotations

from torch import Tensor

from distlandscape.curvature.flat import differentiable_gradient, pullbacks
from distlandscape.objective import Batch, Objective


def hessian_products(objective: Objective, batch: Batch, V_KP: Tensor) -> tuple[Tensor]:
    """Sum over the micro-batch of ∇²ℓ · v for each row v of ``V_KP``; (K, P).

    Cost: forward and first backward once, one second backward a vector.

    Raises:
        InputError: an operation of the model has no second derivative.
    """
    leaves = objective.leaves()
    return (second_derivatives(objective, objective.loss_sum(leaves, batch.x, batch.y), leaves, V_KP),)


def second_derivatives(objective: Objective, scalar: Tensor, leaves: list[Tensor], V_KP: Tensor) -> Tensor:
    """The Hessian of a scalar with respect to the leaves times each row of ``V_KP``; (K, P)."""
    if not scalar.requires_grad:  # it does not depend on θ
        return V_KP.new_zeros(V_KP.shape)
    gradient = differentiable_gradient(scalar, leaves)
    return pullbacks(objective, gradient, leaves, [objective.split(v) for v in V_KP])
