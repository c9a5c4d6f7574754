"""The linearised network of a micro-batch: J v and Jᵀ u, J = ∂z/∂θ, and products Jᵀ A J v.

Shapes: n samples, C logits, K vectors, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distlandscape.curvature.flat import differentiable_gradient, pullbacks
from distlandscape.curvature.forward import dual_leaves, dual_level, unpack_dual
from distlandscape.curvature.kernels import SecondOrderKernels
from distlandscape.curvature.missing import named_missing_derivative
from distlandscape.curvature.product import Product
from distlandscape.objective import Batch, Objective

Bend = Callable[[Tensor], Tensor]  # Jv (n, C) ↦ A Jv
MakeBend = Callable[..., Bend]  # (objective, targets, index of the first sample, logits, *arguments) -> Bend


class Linearisation:
    """J of the logits (n, C) of a micro-batch at θ; one forward and one backward on construction.

    Attributes:
        logits: (n, C), with history.
        depends: whether they depend on θ at all.
    """

    def __init__(self, objective: Objective, x: Tensor) -> None:
        self._objective, self._leaves = objective, objective.leaves()
        kernels = SecondOrderKernels()
        self._reach = kernels.reach
        with kernels:
            self.logits = objective.logits(self._leaves, x)
            self.depends = self.logits.requires_grad
            self._pulled: tuple[Tensor, ...] = ()
            if self.depends:
                # u ↦ Jᵀu is linear in u, so its derivative with respect to u, contracted with v, is Jv.
                self._u = torch.zeros_like(self.logits, requires_grad=True)
                self._pulled = differentiable_gradient(self.logits, self._leaves, self._u)

    @property
    def roots(self) -> Sequence[Tensor]:
        """Tensors whose graphs are all it holds in memory."""
        return (self.logits, *self._pulled)

    def push(self, v_P: Tensor) -> Tensor:
        """J v, (n, C); one backward through the backward."""
        moving = [(p, t) for p, t in zip(self._pulled, self._objective.split(v_P), strict=True) if p.requires_grad]
        outputs = [p for p, _ in moving]
        self._reach.cotangents_only = True
        try:
            with named_missing_derivative(outputs):
                return torch.autograd.grad(outputs, self._u, [t for _, t in moving], retain_graph=True)[0]
        finally:
            self._reach.cotangents_only = False

    def pull(self, cotangents: Sequence[Tensor]) -> Tensor:
        """Jᵀ u for each of K cotangents u (n, C), summed over samples; (K, P), one backward each."""
        return pullbacks(self._objective, [self.logits], self._leaves, [[u] for u in cotangents])


@dataclass(frozen=True)
class Sandwich(Product):
    """Jᵀ A J, A a symmetric (C, C) matrix of each sample.

    Args:
        make_bend: gives u ↦ A u of a micro-batch.
    """

    make_bend: MakeBend

    def linearise(self, objective: Objective, batch: Batch) -> LinearisedSandwich:
        """See Product; a vector costs a backward through the backward, and a backward."""
        return LinearisedSandwich(objective, batch, self.make_bend)

    def forward(self, objective: Objective, batch: Batch, V_KP: Tensor, *arguments: Any) -> tuple[Tensor]:
        """See Product; a forward pass with its derivative and one backward a vector."""
        out, leaves = torch.zeros_like(V_KP), objective.leaves()
        for row, v in zip(out, V_KP, strict=True):
            with dual_level():
                duals = dual_leaves(leaves, objective.split(v))
                z, jv = unpack_dual(objective.logits(duals, batch.x))
            if jv is None or not z.requires_grad:
                break
            bend = self.make_bend(objective, batch.y, batch.first, z.detach(), *arguments)
            row.copy_(pullbacks(objective, [z], leaves, [[bend(jv.detach())]])[0])  # outside: no tangents any more
        return (out,)


class LinearisedSandwich:
    """The linearised network with what A needs of the targets."""

    def __init__(self, objective: Objective, batch: Batch, make_bend: MakeBend) -> None:
        self._linear = Linearisation(objective, batch.x)
        self._objective, self._y, self._first, self._make_bend = objective, batch.y, batch.first, make_bend

    @property
    def roots(self) -> Sequence[Tensor]:
        """See Linearised."""
        return self._linear.roots

    def __call__(self, V_KP: Tensor, *arguments: Any) -> tuple[Tensor]:
        """See Linearised."""
        if not self._linear.depends:
            return (torch.zeros_like(V_KP),)
        bend = self._make_bend(self._objective, self._y, self._first, self._linear.logits.detach(), *arguments)
        return (self._linear.pull([bend(self._linear.push(v)) for v in V_KP]),)
