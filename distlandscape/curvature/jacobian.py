"""The linearised network of a micro-batch: J v and Jᵀ u, J = ∂z/∂θ, by reverse sweeps alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distlandscape.curvature.flat import differentiable_gradient, pullbacks
from distlandscape.curvature.missing import named_missing_derivative
from distlandscape.objective import Objective


class Linearisation:
    """J of the logits (n, C) of a micro-batch at θ; one forward and one backward on construction.

    Attributes:
        logits: (n, C), with history.
        depends: whether they depend on θ at all.
    """

    def __init__(self, objective: Objective, x: Tensor) -> None:
        self._objective, self._leaves = objective, objective.leaves()
        self.logits = objective.logits(self._leaves, x)
        self.depends = self.logits.requires_grad
        if self.depends:
            # u ↦ Jᵀu is linear in u, so its derivative with respect to u, contracted with v, is Jv.
            self._u = torch.zeros_like(self.logits, requires_grad=True)
            self._pulled = differentiable_gradient(self.logits, self._leaves, self._u)

    def push(self, v_P: Tensor) -> Tensor:
        """J v, (n, C); one backward through the backward."""
        moving = [(p, t) for p, t in zip(self._pulled, self._objective.split(v_P), strict=True) if p.requires_grad]
        outputs = [p for p, _ in moving]
        with named_missing_derivative(outputs):
            return torch.autograd.grad(outputs, self._u, [t for _, t in moving], retain_graph=True)[0]

    def pull(self, cotangents: Sequence[Tensor]) -> Tensor:
        """Jᵀ u for each of K cotangents u (n, C), summed over samples; (K, P), one backward each."""
        return pullbacks(self._objective, [self.logits], self._leaves, [[u] for u in cotangents])
