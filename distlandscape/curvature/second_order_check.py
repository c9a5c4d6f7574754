"""Whether a loss can be differentiated twice, and rightly: neither torch nor a user's functions always say when not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from distlandscape.curvature.missing import (
    INSTEAD,
    custom_functions,
    graph_nodes,
    named_missing_derivative,
    without_second_derivative,
)
from distlandscape.errors import InputError
from distlandscape.objective import Batch, Objective

Pieces = Sequence[Tensor]  # in the shapes of the parameters
THIRD = 1e3  # room for third derivatives in a difference of gradients, beside what rounding leaves


def require_second_derivative(objective: Objective) -> None:
    """Differentiate the loss of two samples twice, in two directions.

    Cost: a gradient and two products of two samples; four gradients more where a user's autograd function is met.

    Raises:
        InputError: an operation has no second derivative or a wrong one, it fails, or the result is not finite.
    """
    x, y = (array[:2] for array in objective.data.block(0))
    device = next(objective.model.parameters()).device
    batch = Batch(*objective.tensors(x, y, device, channels_last=True), 0)
    leaves = objective.leaves()
    loss = objective.loss_sum(leaves, batch.x, batch.y)
    if not loss.requires_grad:
        return
    with named_missing_derivative([loss]):
        gradient = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        sparse = next((name for name, g in zip(objective.names, gradient, strict=True) if g.is_sparse), None)
        if sparse is not None:
            raise InputError(
                f"the gradient of {sparse!r} is sparse, and a sparse gradient has no second derivative; call embeddings"
                " with sparse=False"
            )
        # A function marked once_differentiable leaves a node that raises when it is reached; but where gradients of
        # chosen tensors are asked for, torch prunes that path and returns a wrong second derivative without a word.
        custom = custom_functions([loss])
        if any(node.name() == "torch::autograd::Error" for node in graph_nodes(gradient)):
            raise InputError(without_second_derivative(" or ".join(custom) or "a function marked once_differentiable"))
        generator = torch.Generator().manual_seed(0)
        u = [torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype, device="cpu").to(device) for leaf in leaves]
        g = [piece.detach() for piece in gradient]
        Hu, Hg = (_product(gradient, leaves, v) for v in (u, g))
    if not all(bool(torch.isfinite(t).all()) for t in (*g, *Hg)):
        raise InputError(
            "derivatives of the loss of the first samples are not finite; look for a square root, norm or logarithm at"
            " 0 in model or loss"
        )
    # Rounding leaves far more than half of all digits.
    size = _norm(u) * _norm(Hg) + _norm(g) * _norm(Hu)
    if abs(_dot(u, Hg) - _dot(g, Hu)) > torch.finfo(objective.dtype).eps ** 0.5 * size:
        raise InputError(_wrong("u·Hv and v·Hu differ", custom))
    if custom and not _agrees_with_differences(objective, batch, leaves, u, Hu):
        raise InputError(_wrong("they are not the differences of gradients", custom))


def _wrong(what: str, custom: Sequence[str]) -> str:
    where = " or ".join(custom) if custom else "an operation in model or loss"
    return (
        f"second derivatives of the loss of two samples are wrong ({what}); correct the backward of {where}, or"
        f" {INSTEAD}"
    )


def _agrees_with_differences(objective: Objective, batch: Batch, leaves: Pieces, u: Pieces, Hu: Pieces) -> bool:
    """Whether Hu is what the gradient changes by along u, with one of two steps: a kink may lie within the other.

    A central difference with a step of ε^{1/3} has an error of ε^{2/3} from rounding and from third derivatives.
    """
    eps = torch.finfo(objective.dtype).eps
    weight = float(objective.theta.double().square().mean().sqrt()) or 1.0
    for step in (eps ** (1 / 3) * weight, 0.1 * eps ** (1 / 3) * weight):
        ahead, behind = (_gradient(objective, batch, leaves, u, h) for h in (step, -step))
        off = [(a - b) / (2 * step) - product for a, b, product in zip(ahead, behind, Hu, strict=True)]
        if _norm(off) <= THIRD * eps ** (2 / 3) * (_norm(Hu) + _norm(ahead) / weight):
            return True
    return False


def _gradient(objective: Objective, batch: Batch, leaves: Pieces, u: Pieces, h: float) -> Pieces:
    moved = [(leaf.detach() + h * v).requires_grad_(True) for leaf, v in zip(leaves, u, strict=True)]
    loss = objective.loss_sum(moved, batch.x, batch.y)
    return torch.autograd.grad(loss, moved, allow_unused=True, materialize_grads=True)


def _product(gradient: Pieces, leaves: Pieces, v: Pieces) -> Pieces:
    """H v."""
    moving = [i for i, piece in enumerate(gradient) if piece.requires_grad]
    if not moving:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return torch.autograd.grad(
        [gradient[i] for i in moving],
        leaves,
        [v[i] for i in moving],
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )


def _dot(left: Pieces, right: Pieces) -> float:
    return sum(float(a.double().flatten() @ b.double().flatten()) for a, b in zip(left, right, strict=True))


def _norm(pieces: Pieces) -> float:
    return math.sqrt(_dot(pieces, pieces))
