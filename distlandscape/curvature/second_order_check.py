"""Whether model and loss can be differentiated twice, and rightly: torch and users' functions do not always say so.

Shapes: n = 2 samples, C logits.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

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
from distlandscape.objective import Objective
from distlandscape.objective.failures import is_of_the_user
from distlandscape.objective.private_copy import convert, detached_copy
from distlandscape.objective.switches import measuring

Pieces = Sequence[Tensor]
Scalar = Callable[[Pieces], Tensor]
STEPS = (1e-6, 1e-7)  # of differences in float64, over the size of what is moved: a kink may lie within one of them
WRONG = 1e-3  # relative: far above what steps and rounding leave, far below what a wrong formula makes


def require_second_derivative(objective: Objective) -> None:
    """Differentiate the loss of two samples twice; then model and loss, each alone, in two directions.

    A fitted net's loss has derivatives that are all rounding, so the formulas are judged by what is of size one: random
    sums of logits as functions of θ, and the loss as a function of logits of at most 1.

    Cost: three gradients and four products of two samples, and eight gradients in float64 where a user's autograd
    function is met.

    Raises:
        InputError: an operation has no second derivative or a wrong one, it fails, or the result is not finite.
    """
    x, y = (array[:2] for array in objective.data.block(0))
    device = next(objective.model.parameters()).device
    inputs, targets = objective.tensors(x, y, device, channels_last=True)
    leaves = objective.leaves()
    logits = objective.logits(leaves, inputs)
    loss = objective.loss(logits, targets).sum()
    if not loss.requires_grad:
        return
    with named_missing_derivative([loss]):
        gradient = torch.autograd.grad(
            loss, leaves, create_graph=True, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        sparse = next((name for name, g in zip(objective.names, gradient, strict=True) if g.is_sparse), None)
        if sparse is not None:
            raise InputError(
                f"the gradient of {sparse!r} is sparse, and a sparse gradient has no second derivative; call embeddings"
                " with sparse=False"
            )
        # A function marked once_differentiable leaves a node that raises when it is reached; but where gradients of
        # chosen tensors are asked for, torch prunes that path and returns a wrong second derivative without a word.
        if any(node.name() == "torch::autograd::Error" for node in graph_nodes(gradient)):
            names = custom_functions([loss]) or ["a function marked once_differentiable"]
            raise InputError(without_second_derivative(" or ".join(names)))
        Hg = _product(gradient, leaves, [g.detach() for g in gradient])
    if not all(bool(torch.isfinite(t).all()) for t in (*gradient, *Hg)):
        raise InputError(
            "derivatives of the loss of the first samples are not finite; look for a square root, norm or logarithm at"
            " 0 in model or loss"
        )
    w = _random(logits, 0)
    if logits.requires_grad:
        _require_right(lambda theta: (w * objective.logits(theta, inputs)).sum(), leaves, custom_functions([logits]))
    z = logits.detach() / max(1.0, float(torch.nan_to_num(logits.detach(), 0, 0, 0).abs().max()))
    values = objective.loss(z.requires_grad_(True), targets)
    _require_right(lambda pieces: objective.loss(pieces[0], targets).sum(), [z], custom_functions([values]))
    _require_differences(lambda: _model_in_float64(objective), device, custom_functions([logits]))
    exact = targets.double() if targets.is_floating_point() else targets
    at = [z.detach().double()]
    _require_differences(lambda: (lambda p: objective.loss(p[0], exact).sum(), at), device, custom_functions([values]))


def _require_right(scalar: Scalar, at: Pieces, custom: Sequence[str]) -> None:
    """Symmetry: wrong formulas seldom have it (torch's fused weight_norm, for one)."""
    points = [piece.detach().requires_grad_(True) for piece in at]
    value = scalar(points)
    if not value.requires_grad:
        return
    with named_missing_derivative([value]):
        gradient = torch.autograd.grad(value, points, create_graph=True, allow_unused=True, materialize_grads=True)
        u, v = ([_random(piece, seed + i) for i, piece in enumerate(points)] for seed in (1, 10**6))
        Hu, Hv = _product(gradient, points, u), _product(gradient, points, v)
    size = _norm(u) * _norm(Hv) + _norm(v) * _norm(Hu)
    if abs(_dot(u, Hv) - _dot(v, Hu)) > torch.finfo(value.dtype).eps ** 0.5 * size:
        raise InputError(_wrong("u·Hv and v·Hu differ", custom))


def _model_in_float64(objective: Objective) -> tuple[Scalar, Pieces]:
    """A random sum of the logits of two samples as a function of θ, and θ."""
    twin = copy.copy(objective)
    twin.model, twin.dtype = detached_copy(objective.model), torch.float64
    convert(twin.model, torch.float64)
    leaves = twin.leaves()
    x, y = (array[:2] for array in twin.data.block(0))
    inputs, _ = twin.tensors(x, y, leaves[0].device)
    w = _random(torch.empty(len(x), objective.outputs, dtype=torch.float64, device=leaves[0].device), 0)
    return lambda theta: (w * twin.logits(theta, inputs)).sum(), leaves


def _require_differences(make: Callable[[], tuple[Scalar, Pieces]], device: torch.device, custom: list[str]) -> None:
    """Second derivatives of the user's autograd functions are what first ones change by; in float64, for its steps."""
    if not custom:
        return
    with measuring(device, torch.float64):
        try:
            scalar, at = make()
            agree = _agree_with_differences(scalar, at)
        except Exception as error:  # of functions that know one precision only: what cannot be compared is believed
            if not is_of_the_user(error):
                raise
            return
    if not agree:
        raise InputError(_wrong("they are not the differences of first derivatives", custom))


def _agree_with_differences(scalar: Scalar, at: Pieces) -> bool:
    u = [_random(piece, 1 + i) for i, piece in enumerate(at)]

    def gradient(step: float) -> tuple[Pieces, Pieces]:
        moved = [(piece.detach() + step * v).requires_grad_(True) for piece, v in zip(at, u, strict=True)]
        return moved, torch.autograd.grad(
            scalar(moved), moved, create_graph=step == 0, allow_unused=True, materialize_grads=True
        )

    points, slope = gradient(0.0)
    Hu = _product(slope, points, u)
    size = math.sqrt(_dot(at, at) / max(1, sum(piece.numel() for piece in at))) or 1.0
    for step in STEPS:
        ahead, behind = (gradient(sign * step * size)[1] for sign in (1, -1))
        change = [(a - b) / (2 * step * size) for a, b in zip(ahead, behind, strict=True)]
        off = [c - product for c, product in zip(change, Hu, strict=True)]
        if _norm(off) <= WRONG * (_norm(Hu) + _norm(change)):
            return True
    return False


def _wrong(what: str, custom: Sequence[str]) -> str:
    where = " or ".join(custom) if custom else "an operation in model or loss"
    return f"second derivatives are wrong ({what}); correct the backward of {where}, or {INSTEAD}"


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


def _random(like: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device="cpu").to(like.device)


def _dot(left: Pieces, right: Pieces) -> float:
    pairs = zip(left, right, strict=True)
    return sum(float(a.detach().double().flatten() @ b.detach().double().flatten()) for a, b in pairs)


def _norm(pieces: Pieces) -> float:
    return math.sqrt(_dot(pieces, pieces))
