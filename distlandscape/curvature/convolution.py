"""A convolution whose second derivatives cost what its first ones do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

aten = torch.ops.aten
Setting = tuple[list[int], list[int], list[int], int]  # stride, padding, dilation, groups


class Reach:
    """How far a backward through the backward has to go; one object for all kernels of a linearisation.

    Functions in Python are not told which of their derivatives a sweep asks for, and would compute all.

    Attributes:
        cotangents_only: only derivatives with respect to what went into the backward are wanted.
    """

    cotangents_only = False


def convolution(
    reach: Reach,
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Torch's conv1d, conv2d or conv3d; NotImplemented for a form of the call that is left to torch."""
    sides = weight.ndim - 2
    if input.ndim != sides + 2 or isinstance(padding, str):  # no batch, or padding by name: left to torch
        return NotImplemented
    stride, padding, dilation = (_each(value, sides) for value in (stride, padding, dilation))
    apply: Any = _Convolution.apply
    return apply(input, weight, bias, (stride, padding, dilation, groups), reach)


def _each(value: Any, sides: int) -> list[int]:
    values = list(value) if isinstance(value, (tuple, list)) else [value]
    return values * sides if len(values) == 1 else values


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, setting: Setting) -> Tensor:
    stride, padding, dilation, groups = setting
    out: Tensor = aten.convolution(x, weight, bias, stride, padding, dilation, False, [0] * len(stride), groups)
    return out


def _convolve_back(
    g: Tensor, x: Tensor, weight: Tensor, setting: Setting, mask: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Derivatives of Σ g · conv(x, weight) with respect to x, weight and bias, where ``mask`` asks for them."""
    stride, padding, dilation, groups = setting
    out: tuple[Tensor | None, Tensor | None, Tensor | None] = aten.convolution_backward(
        g, x, weight, [weight.shape[0]], stride, padding, dilation, False, [0] * len(stride), groups, list(mask)
    )
    return out


class _Convolution(Function):
    """The convolution; its backward can be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, setting: Setting, reach: Reach) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.setting, ctx.has_bias, ctx.reach = setting, bias is not None, reach
        return _convolve(x, weight, bias, setting)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight = ctx.saved_tensors
        needs = (*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2])
        apply: Any = _ConvolutionGradient.apply
        return (*apply(grads[0], x, weight, ctx.setting, needs, ctx.reach), None, None)


class _ConvolutionGradient(Function):
    """(g, x, w) ↦ derivatives of Σ g · conv(x, w): linear in g, and in x and w one at a time."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, setting: Setting, needs: tuple[bool, bool, bool], reach: Reach
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        ctx.save_for_backward(g, x, weight)
        ctx.setting, ctx.reach = setting, reach
        ctx.set_materialize_grads(False)
        return _convolve_back(g, x, weight, setting, needs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g, x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = grads
        need_g = ctx.needs_input_grad[0]
        need_x, need_weight = (need and not ctx.reach.cotangents_only for need in ctx.needs_input_grad[1:3])
        by_g = by_x = by_weight = None
        if need_g:
            parts = []
            if to_x is not None:
                parts.append(_convolve(to_x, weight, None, ctx.setting))
            if to_weight is not None:
                parts.append(_convolve(x, to_weight, to_bias, ctx.setting))
            elif to_bias is not None:
                parts.append(to_bias.view(-1, *[1] * (g.ndim - 2)).expand_as(g))
            by_g = sum(parts[1:], start=parts[0]) if parts else None
        if need_x and to_weight is not None:
            by_x = _convolve_back(g, x, to_weight, ctx.setting, (True, False, False))[0]
        if need_weight and to_x is not None:
            by_weight = _convolve_back(g, to_x, weight, ctx.setting, (False, True, False))[1]
        return by_g, by_x, by_weight, None, None, None
