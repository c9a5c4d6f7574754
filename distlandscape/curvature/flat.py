"""From gradients in the shapes of the parameters to flat rows, and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distlandscape.curvature.missing import named_missing_derivative
from distlandscape.objective import Objective


def pullbacks(
    objective: Objective, outputs: Sequence[Tensor], leaves: Sequence[Tensor], cotangents: Sequence[Sequence[Tensor]]
) -> Tensor:
    """(K, P) rows: the derivative of Σ outputs · cotangent with respect to the leaves, for each of K cotangents."""
    rows = torch.zeros(len(cotangents), objective.parameters, dtype=objective.dtype, device=leaves[0].device)
    moving = [i for i, output in enumerate(outputs) if output.requires_grad]
    if not moving:  # a loss linear in θ: the second derivative is zero
        return rows
    with named_missing_derivative(outputs):
        for row, cotangent in zip(rows, cotangents, strict=True):
            pieces = torch.autograd.grad(
                [outputs[i] for i in moving],
                leaves,
                [cotangent[i] for i in moving],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            torch.cat([piece.reshape(-1) for piece in pieces], out=row)
    return rows


def differentiable_gradient(
    scalar_or_outputs: Tensor, leaves: Sequence[Tensor], cotangent: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Gradient, one tensor a leaf, that can be differentiated once more."""
    with named_missing_derivative([scalar_or_outputs]):
        return torch.autograd.grad(
            scalar_or_outputs, leaves, cotangent, create_graph=True, allow_unused=True, materialize_grads=True
        )
