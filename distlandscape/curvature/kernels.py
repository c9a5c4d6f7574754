"""Puts convolutions and BatchNorm with fast second derivatives in the place of torch's own.

Torch's second derivative of a convolution convolves with kernels as large as images, and that of BatchNorm is a dozen
elementwise operations. The maps of the backward are linear in each argument, so their derivatives are convolutions and
backward convolutions again, for which torch has fast kernels. Forward and first backward stay torch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from distlandscape.curvature.convolution import Reach, convolution
from distlandscape.curvature.stored_norm import batch_norm

_functorch_active: Callable[[], bool] = torch._C._are_functorch_transforms_active
_REPLACED: dict[Any, Callable[..., Any]] = {
    torch.conv1d: convolution,
    torch.conv2d: convolution,
    torch.conv3d: convolution,
    torch.nn.functional.batch_norm: batch_norm,
}


class SecondOrderKernels(TorchFunctionMode):
    """While it is entered, convolutions, and BatchNorm by stored statistics, run with fast second derivatives.

    Attributes:
        reach: what a backward through the backward of what ran here has to compute.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reach = Reach()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        replace = _REPLACED.get(func) if torch.is_grad_enabled() else None
        # The functions below know neither torch.func's transforms nor the types that autocast chooses.
        if replace is not None and not _functorch_active() and not _autocast():
            out = replace(self.reach, *args, **(kwargs or {}))
            if out is not NotImplemented:
                return out
        return func(*args, **(kwargs or {}))


def _autocast() -> bool:
    return torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")
