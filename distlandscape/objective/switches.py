"""Torch's global switches: as products need them while a pass runs, as the user had them before and after."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

OPERATIONS = ("matmul", "conv", "rnn")
AUTOCASTS = ("cpu", "cuda")
REDUCED = ("tf32", "bf16")  # ten and seven bits of mantissa leave no residual below 10⁻³ of ‖H‖
_get: Any = torch._C._get_fp32_precision_getter  # torch.backends.mkldnn.fp32_precision, in public, sets another switch
_set: Any = torch._C._set_fp32_precision_setter
_lock = threading.RLock()
_entered: dict[str, int] = {}  # passes of this process that run in full precision, by backend
_before: dict[str, contextlib.ExitStack] = {}  # what puts back the switches they found


@contextlib.contextmanager
def measuring(device: torch.device, dtype: torch.dtype, threads: int | None = None) -> Iterator[None]:
    """Whatever the user has entered or set: full precision, gradients, no autocast, constants on the device.

    Args:
        device: where the pass computes.
        dtype: of constants that the model makes without naming a type.
        threads: torch threads; None leaves them.
    """
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for kind in AUTOCASTS:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device() != device:
            stack.enter_context(device)
        if torch.get_default_dtype() != dtype:
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(dtype)
        stack.enter_context(using_threads(threads))
        stack.enter_context(full_precision(device))
        yield


@contextlib.contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """So many torch threads for a while; None leaves them."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Float32 arithmetic without TF32 and bfloat16, by torch's newer switches and its older ones.

    They belong to the process: the first pass that enters switches them, the last one that leaves puts them back.
    """
    backends = ("mkldnn", "cuda") if device.type == "cuda" else ("mkldnn",)
    for backend in backends:
        _enter(backend)
    try:
        yield
    finally:
        for backend in reversed(backends):
            _leave(backend)


def _enter(backend: str) -> None:
    with _lock:
        _entered[backend] = _entered.get(backend, 0) + 1
        if _entered[backend] == 1:
            _before[backend] = contextlib.ExitStack()
            if any(_get(backend, operation) in REDUCED for operation in OPERATIONS):
                _raise_precision(backend, _before[backend])


def _leave(backend: str) -> None:
    with _lock:
        _entered[backend] -= 1
        if not _entered[backend]:
            _before.pop(backend).close()


def _raise_precision(backend: str, before: contextlib.ExitStack) -> None:
    """Switch a backend to full precision; ``before`` puts back what was.

    A switch that was never set follows that of its backend, and this one the switch of all backends. So that it does so
    again afterwards, only those are touched that were set: convolutions on CUDA begin in a state that nothing sets.
    """
    before.callback(_set, backend, "all", _own(backend, "all"))
    _set(backend, "all", "ieee")
    for operation in OPERATIONS:
        if _get(backend, operation) in REDUCED:
            before.callback(_set, backend, operation, _get(backend, operation))
            _set(backend, operation, "ieee")
    if backend == "cuda":
        _raise_older(before)


def _raise_older(before: contextlib.ExitStack) -> None:
    """The older switch of matrix products: torch raises where it contradicts the newer one."""
    older = torch.get_float32_matmul_precision()  # can be read, as the newer ones are at "ieee"
    if older != "highest":
        for backend in ("mkldnn", "cuda"):  # it sets these, too
            before.callback(_set, backend, "matmul", _own(backend, "matmul"))
        before.callback(torch.set_float32_matmul_precision, older)
        torch.set_float32_matmul_precision("highest")


def _own(backend: str, operation: str) -> str:
    """A switch's own setting: "none" where it follows the switch above it."""
    above = "generic" if operation == "all" else backend
    setting = _get("generic", "all") if operation == "all" else _own(backend, "all")
    seen = []
    for value in ("ieee", "tf32"):
        _set(above, "all", value)
        seen.append(str(_get(backend, operation)))
    _set(above, "all", setting)
    return "none" if seen == ["ieee", "tf32"] else seen[0]
