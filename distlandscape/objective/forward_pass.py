"""What is switched off while a model runs, because its derivatives of second order would be missing or wrong.

None of it changes a value: fused attention kernels have no second derivative, and that of torch's fused weight_norm is
wrong; gradient checkpointing runs a part of the model again during a backward, when the weights of a functional call
are gone; compiled code is differentiated once.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

_checkpoint: Any = torch.utils.checkpoint
_lock = threading.Lock()
_inside = 0
_before = contextlib.ExitStack()  # what puts the switches back


@contextlib.contextmanager
def forward_pass(weight_norm: bool = False) -> Iterator[None]:
    """Attention by plain operations, no checkpointing, no compiled code; all as it was afterwards.

    The switches belong to the process: the first thread that enters sets them, the last one that leaves puts them back.
    A thread of the user's that runs a model meanwhile gets the same numbers, in another time and memory.

    Args:
        weight_norm: whether the model may call torch's weight_norm, see ``has_weight_norm``.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _switch(_before)
        _inside += 1
    try:
        with _PlainWeightNorm() if weight_norm else contextlib.nullcontext():
            yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _before.close()


def _switch(before: contextlib.ExitStack) -> None:
    before.enter_context(sdpa_kernel(SDPBackend.MATH))
    # The fast path of torch's encoder layers, without gradients only, gives zeros where samples are padded.
    before.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
    torch.backends.mha.set_fastpath_enabled(False)
    if "torch._dynamo" in sys.modules:  # else nothing is compiled, and its import takes seconds
        before.enter_context(torch.compiler.set_stance("force_eager"))
    # Checkpointing has no switch, and user code holds the function by name: its two inner halves are replaced.
    for name, plain in (
        ("CheckpointFunction", SimpleNamespace(apply=_call)),
        ("_checkpoint_without_reentrant_generator", _nothing_around),
    ):
        before.callback(setattr, _checkpoint, name, getattr(_checkpoint, name))
        setattr(_checkpoint, name, plain)


def has_weight_norm(model: nn.Module) -> bool:
    """Whether a layer has a weight g v/|v|, by torch's parametrization or by the hook that it had before."""
    return any(
        isinstance(module, parametrizations._WeightNorm)
        or any(isinstance(hook, WeightNorm) for hook in module._forward_pre_hooks.values())
        for module in model.modules()
    )


class _PlainWeightNorm(TorchFunctionMode):
    """While it is entered, weights are normed by operations whose second derivatives are right.

    Those of torch's own kernel take the norm for a constant (2.13): its Hessian is not even symmetric.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (_weight_norm if func is torch._weight_norm else func)(*args, **(kwargs or {}))


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))


def _call(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
    return function(*args)


def _nothing_around(*args: Any, **options: Any) -> Iterator[None]:
    yield
