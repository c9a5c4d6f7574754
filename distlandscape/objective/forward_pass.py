"""What is switched off while a model runs, because its derivatives of second order would be missing or wrong.

None of it changes a value: fused attention kernels have no second derivative; gradient checkpointing runs a part of the
model again during a backward, when the weights of a functional call are gone; compiled code is differentiated once.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
import torch.utils.checkpoint
from torch.nn.attention import SDPBackend, sdpa_kernel

_checkpoint: Any = torch.utils.checkpoint
_lock = threading.Lock()
_inside = 0
_original: tuple[Any, Any] | None = None


@contextlib.contextmanager
def forward_pass() -> Iterator[None]:
    """Attention by plain operations, no checkpointing, no compiled code; all as it was afterwards."""
    with sdpa_kernel(SDPBackend.MATH), _no_checkpointing(), _eager():
        yield


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
