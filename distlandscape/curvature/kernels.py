"""Convolution and BatchNorm whose second derivatives cost what their first ones do.

Torch's own second derivative of a convolution convolves with kernels as large as images, and that of BatchNorm is a dozen
elementwise operations. Both maps of the backward are (bi)linear, so their derivatives are convolutions and backward
convolutions again, for which torch has fast kernels. Forward and first backward stay torch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

aten = torch.ops.aten
_functorch_active: Callable[[], bool] = torch._C._are_functorch_transforms_active
Setting = tuple[list[int], list[int], list[int], int]  # stride, padding, dilation, groups


class SecondOrderKernels(TorchFunctionMode):
    """While it is entered, convolutions and BatchNorm by stored statistics run as the functions below."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        replace = _REPLACED.get(func) if torch.is_grad_enabled() else None
        # The functions below know neither torch.func's transforms nor the types that autocast chooses.
        if replace is not None and not _functorch_active() and not torch.is_autocast_enabled(args[0].device.type):
            out = replace(*args, **(kwargs or {}))
            if out is not NotImplemented:
                return out
        return func(*args, **(kwargs or {}))


def _convolution(
    input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    sides = weight.ndim - 2
    if input.ndim != sides + 2 or isinstance(padding, str):  # no batch, or padding by name: left to torch
        return NotImplemented
    stride, padding, dilation = (_each(value, sides) for value in (stride, padding, dilation))
    return _Convolution.apply(input, weight, bias, (stride, padding, dilation, groups))


def _batch_norm(
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if training or any(t is None for t in (running_mean, running_var, weight, bias)):
        return NotImplemented
    return _StoredNorm.apply(input, weight, bias, running_mean, running_var, eps)


_REPLACED: dict[Any, Callable[..., Any]] = {
    torch.conv1d: _convolution,
    torch.conv2d: _convolution,
    torch.conv3d: _convolution,
    torch.nn.functional.batch_norm: _batch_norm,
}


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
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, setting: Setting) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.setting, ctx.has_bias = setting, bias is not None
        return _convolve(x, weight, bias, setting)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight = ctx.saved_tensors
        needs = (*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2])
        return (*_ConvolutionGradient.apply(grads[0], x, weight, ctx.setting, needs), None)


class _ConvolutionGradient(Function):
    """(g, x, w) ↦ derivatives of Σ g · conv(x, w): linear in g, and in x and w one at a time."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, setting: Setting, needs: tuple[bool, bool, bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        ctx.save_for_backward(g, x, weight)
        ctx.setting = setting
        ctx.set_materialize_grads(False)
        return _convolve_back(g, x, weight, setting, needs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g, x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = grads
        need_g, need_x, need_weight = ctx.needs_input_grad[:3]
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
        return by_g, by_x, by_weight, None, None


class _StoredNorm(Function):
    """BatchNorm by stored mean and variance: y = w r (x − mean) + b with r = 1/√(variance + ε)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps = eps
        out: Tensor = aten.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight, mean, var = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        return (*_StoredNormGradient.apply(grads[0], x, weight, mean, var, ctx.eps, needs), None, None, None)


class _StoredNormGradient(Function):
    """(g, x, w) ↦ (g w r, Σ g r (x − mean), Σ g), sums over samples and pixels."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, var: Tensor, eps: float, needs: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        ctx.save_for_backward(g, x, weight, mean, var)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        return _norm_back(g, x, weight, mean, var, eps, needs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g, x, weight, mean, var = ctx.saved_tensors
        to_x, to_weight, to_bias = grads
        need_g, need_x, need_weight = ctx.needs_input_grad[:3]
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
        return by_g, by_x, by_weight, None, None, None, None


def _norm_back(
    g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, var: Tensor, eps: float, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    out: tuple[Tensor | None, Tensor | None, Tensor | None] = aten.native_batch_norm_backward(
        g, x, weight, mean, var, None, None, False, eps, list(needs)
    )
    return out
