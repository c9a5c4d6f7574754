"""Second derivatives of a scalar: Hessian-vector products by double backward (Pearlmutter 1994)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distlandscape.curvature.flat import differentiable_gradient, pullbacks
from distlandscape.curvature.forward import dual_leaves, dual_level, flat_tangents
from distlandscape.curvature.kernels import SecondOrderKernels
from distlandscape.curvature.product import Product
from distlandscape.objective import Batch, Objective

Scalar = Callable[[Objective, Sequence[Tensor], Batch], Tensor]


@dataclass(frozen=True)
class SecondDerivative(Product):
    """The Hessian with respect to θ of a scalar of each micro-batch.

    Args:
        scalar: (objective, leaves, batch) -> a sum over the samples.
    """

    scalar: Scalar

    def linearise(self, objective: Objective, batch: Batch) -> LinearisedGradient:
        """See Product; every vector costs one second backward."""
        return LinearisedGradient(objective, batch, self.scalar)

    def forward(self, objective: Objective, batch: Batch, V_KP: Tensor, *arguments: Any) -> tuple[Tensor]:
        """See Product; forward over reverse."""
        out, leaves = torch.zeros_like(V_KP), objective.leaves()
        for row, v in zip(out, V_KP, strict=True):
            with dual_level():
                duals = dual_leaves(leaves, objective.split(v))
                scalar = self.scalar(objective, duals, batch)
                if not scalar.requires_grad:
                    break
                pieces = torch.autograd.grad(scalar, duals, allow_unused=True, materialize_grads=True)
                flat_tangents(pieces, row)
        return (out,)


class LinearisedGradient:
    """The gradient of a scalar with its graph.

    Attributes:
        roots: the gradient, a tensor a parameter; empty for a scalar that does not depend on θ.
    """

    def __init__(self, objective: Objective, batch: Batch, scalar_of: Scalar) -> None:
        self._objective, self._leaves = objective, objective.leaves()
        with SecondOrderKernels():
            scalar = scalar_of(objective, self._leaves, batch)
            self.roots = differentiable_gradient(scalar, self._leaves) if scalar.requires_grad else ()

    def __call__(self, V_KP: Tensor, *arguments: Any) -> tuple[Tensor]:
        """See Linearised."""
        if not self.roots:
            return (torch.zeros_like(V_KP),)
        return (pullbacks(self._objective, self.roots, self._leaves, [self._objective.split(v) for v in V_KP]),)


def loss_of(objective: Objective, leaves: Sequence[Tensor], batch: Batch) -> Tensor:
    """The summed loss of a micro-batch."""
    return objective.loss_sum(leaves, batch.x, batch.y)


hessian_products = SecondDerivative(loss_of)
"""Sum over the micro-batch of ∇²ℓ · v for each row v of (K, P)."""
