"""What the user's own code raises, as a sentence; and lack of memory, which is told apart from it."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator

import torch

from distlandscape.errors import InputError, OutOfMemory, WorkerFailure

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


def brief(error: BaseException) -> str:
    """The error's message on one line."""
    return textwrap.shorten(str(error), 200, placeholder="…") or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch's allocators raise a type of their own on GPUs only."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return getattr(error, "error_code", None) == MEMORY_ALLOCATION or any(words in str(error) for words in NO_MEMORY)


def is_of_the_user(error: Exception) -> bool:
    """Whether an error came of the user's code: it is no lack of memory and none of the package's."""
    return not is_out_of_memory(error) and not isinstance(error, (InputError, OutOfMemory, WorkerFailure))


@contextlib.contextmanager
def told(what: str, remedy: str) -> Iterator[None]:
    """Turn what the code of a user raises, of whatever type, into an InputError; lack of memory stays what it is.

    Args:
        what: failed, as the beginning of a sentence.
        remedy: its end.
    """
    try:
        yield
    except Exception as error:
        if not is_of_the_user(error):
            raise
        raise InputError(f"{what} ({type(error).__name__}: {brief(error)}); {remedy}") from error
