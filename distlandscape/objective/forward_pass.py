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
_original: tuple[Any, Any] | None = None


@contextlib.contextmanager
def forward_pass(weight_norm: bool = False) -> Iterator[None]:
    """Attention by plain operations, no checkpointing, no compiled code; all as it was afterwards.

    Args:
        weight_norm: whether the model may call torch's weight_norm, see ``has_weight_norm``.
    """
    plain = _PlainWeightNorm() if weight_norm else contextlib.nullcontext()
    with sdpa_kernel(SDPBackend.MATH), _no_checkpointing(), _eager(), plain:
        yield


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


def _eager() -> contextlib.AbstractContextManager[Any]:
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and its import takes seconds
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


@contextlib.contextmanager
def _no_checkpointing() -> Iterator[None]:
    """Let ``torch.utils.checkpoint.checkpoint`` just call its function.

    Torch has no switch for it, and user code holds the function by name: its two inner halves are replaced. Another
    thread that runs a checkpointed model meanwhile gets the same numbers, and needs more memory.
    """
    global _inside, _original
    with _lock:
        if _inside == 0:
            _original = (_checkpoint.CheckpointFunction, _checkpoint._checkpoint_without_reentrant_generator)
            _checkpoint.CheckpointFunction = SimpleNamespace(apply=_call)
            _checkpoint._checkpoint_without_reentrant_generator = _nothing_around
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _original is not None:
                _checkpoint.CheckpointFunction, _checkpoint._checkpoint_without_reentrant_generator = _original


def _call(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
    return function(*args)


def _nothing_around(*args: Any, **options: Any) -> Iterator[None]:
    yield
