"""How much memory there is, and how an allocation that failed shows."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
MEMORY_ALLOCATION = 2  # code of a torch.AcceleratorError, the same with CUDA and HIP
NO_MEMORY = (  # what torch's allocator on the CPU says, the drivers' own calls, and the libraries on a GPU
    "DefaultCPUAllocator",
    "CUDA out of memory",
    "HIP out of memory",
    "CUDA error: out of memory",
    "HIP error: out of memory",
    "cudaErrorMemoryAllocation",
    "hipErrorOutOfMemory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUSPARSE_STATUS_ALLOC_FAILED",
    "CUSPARSE_STATUS_INSUFFICIENT_RESOURCES",
    "HIPBLAS_STATUS_ALLOC_FAILED",
    "miopenStatusAllocFailed",
    "Cuda failure 2 'out of memory'",
)
GROUP = Path("/sys/fs/cgroup")  # the limit of a container (version 2), where there is one


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on a device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [bytes_left for bytes_left in (_machine(), _container()) if bytes_left is not None]
    return min(free) if free else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch's allocators raise a type of their own on GPUs only."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return getattr(error, "error_code", None) == MEMORY_ALLOCATION or any(words in str(error) for words in NO_MEMORY)


class Trimmer:
    """Gives memory that the C library holds in reserve back to the system, for at most one per cent of the time.

    What a product frees stays with glibc, in pieces that the next one may not fit into: some hundred MB a worker, which
    others on the machine do not have. Elsewhere than with glibc this does nothing.
    """

    SHARE = 0.01

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._trim = getattr(library, "malloc_trim", None)
        self._not_before = 0.0

    def __call__(self) -> None:
        """Trim, unless the last time was not long ago for what it took."""
        began = time.monotonic()
        if self._trim is None or began < self._not_before:
            return
        self._trim(0)
        now = time.monotonic()
        self._not_before = now + (now - began) / self.SHARE


def _machine() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _container() -> int | None:
    try:
        limit = int((GROUP / "memory.max").read_text())  # "max" stands for none
        used = int((GROUP / "memory.current").read_text())
        statistics = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return limit - used + int(statistics.get("inactive_file", 0))  # cached files are given back
