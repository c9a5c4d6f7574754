"""Which device this process computes on, and whether it still can."""

from __future__ import annotations

import sys

import torch

from distlandscape.errors import InputError


def default_device() -> torch.device:
    """The GPU of this process, else the CPU; in a worker Ray says whether it has one: it hides no GPU from the others.

    Raises:
        InputError: a GPU is reserved for this worker, and torch cannot use it.
    """
    reserved = _reserved()
    if reserved == 0:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if reserved:
        raise InputError(
            f"a GPU is reserved for each worker, but torch {torch.__version__} cannot use it there ({_why_not()});"
            " install a torch build and a driver that fit the GPU on every node, or set gpus_per_worker to 0"
        )
    return torch.device("cpu")


def is_lost(device: torch.device) -> bool:
    """Whether a GPU reported a fault (an illegal access, a failed assert, broken memory) for which all calls fail."""
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


def _reserved() -> int | None:
    """GPUs that Ray gave to this worker; None where this process is none."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.worker.mode != ray.WORKER_MODE:
        return None
    return len(context.get_accelerator_ids()["GPU"])


def _why_not() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "it is a build for the CPU"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return "it sees no GPU"
