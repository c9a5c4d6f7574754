"""BatchNorm by stored statistics with second derivatives in a few sweeps over memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from distlandscape.curvature.convolution import Reach

aten = torch.ops.aten


def batch_norm(
    reach: Reach,
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Torch's batch_norm; NotImplemented for a form of the call that is left to torch."""
    if training or any(t is None for t in (running_mean, running_var, weight, bias)):
        return NotImplemented
    apply: Any = _StoredNorm.apply
    return apply(input, weight, bias, running_mean, running_var, eps, reach)


class _StoredNorm(Function):
    """BatchNorm by stored mean and variance: y = w r (x − mean) + b with r = 1/√(variance + ε)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float, reach: Reach
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps, ctx.reach = eps, reach
        out: Tensor = aten.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight, mean, var = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        apply: Any = _StoredNormGradient.apply
        return (*apply(grads[0], x, weight, mean, var, ctx.eps, needs, ctx.reach), None, None, None, None)


class _StoredNormGradient(Function):
    """(g, x, w) ↦ (g w r, Σ g r (x − mean), Σ g), sums over samples and pixels."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        weight: Tensor,
        mean: Tensor,
        var: Tensor,
        eps: float,
        needs: Sequence[bool],
        reach: Reach,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        ctx.save_for_backward(g, x, weight, mean, var)
        ctx.eps, ctx.reach = eps, reach
        ctx.set_materialize_grads(False)
        return _norm_back(g, x, weight, mean, var, eps, needs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g, x, weight, mean, var = ctx.saved_tensors
        to_x, to_weight, to_bias = grads
        need_g = ctx.needs_input_grad[0]
        need_x, need_weight = (need and not ctx.reach.cotangents_only for need in ctx.needs_input_grad[1:3])
        by_g = by_x = by_weight = None
        shape = (-1, *[1] * (x.ndim - 2))
        scaled = None if to_weight is None else to_weight * (var + ctx.eps).rsqrt()
        if to_x is not None and (need_g or need_weight):
            # One fused kernel for both: the backward of the same layer at "input" g, with mean 0.
            by_g, by_weight, _ = _norm_back(
                to_x, g, weight, torch.zeros_like(mean), var, ctx.eps, (need_g, need_weight, False)
            )
        if need_g and scaled is not None:
            shift = -mean * scaled if to_bias is None else to_bias - mean * scaled
            if by_g is None:
                by_g = torch.addcmul(shift.view(shape), x, scaled.view(shape))
            else:
                by_g.addcmul_(x, scaled.view(shape)).add_(shift.view(shape))
        elif need_g and to_bias is not None:
            constant = to_bias.view(shape).expand_as(g)
            by_g = constant if by_g is None else by_g.add_(constant)
        if need_x and scaled is not None:
            by_x = g * scaled.view(shape)
        return by_g, by_x, by_weight, None, None, None, None, None


def _norm_back(
    g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, var: Tensor, eps: float, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    saved = x.new_empty(0)  # CUDA wants the batch's statistics defined, and takes the stored ones where they are empty
    out: tuple[Tensor | None, Tensor | None, Tensor | None] = aten.native_batch_norm_backward(
        g, x, weight, mean, var, saved, saved, False, eps, list(needs)
    )
    return out
