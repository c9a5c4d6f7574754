"""What samples and targets may be: types, shapes, finite values, and the form in which they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError

Samples = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]
_MOST = np.iinfo(np.int64).max


def check_arrays(
    x_type: np.dtype[Any], x_shape: tuple[int, ...], y_type: np.dtype[Any], y_shape: tuple[int, ...]
) -> None:
    """Raise InputError unless x (N, …) and y (N,) or (N, C) hold numbers, one row a sample, and at least one."""
    for name, dtype in (("x", x_type), ("y", y_type)):
        if dtype.kind not in "fiub" or dtype.itemsize > 8:
            raise InputError(f"{name} has elements of type {dtype}; give float32, float64 or whole numbers")
    if len(x_shape) < 2 or len(y_shape) not in (1, 2):
        raise InputError(f"x must be (N, …) and y (N,) or (N, C), not {x_shape} and {y_shape}; reshape them")
    if x_shape[0] != y_shape[0]:
        raise InputError(f"x has {x_shape[0]} samples and y has {y_shape[0]}; give one target per sample")
    if 0 in x_shape or 0 in y_shape:
        raise InputError(f"the data set is empty: x is {x_shape} and y {y_shape}; give at least one sample")


def check_finite(name: str, array: Samples) -> None:
    """Raise InputError for NaN or infinite values."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinite values; remove those samples")


def stored_samples(x: Samples) -> Samples:
    """The samples as the store keeps them: contiguous, of the machine's byte order, booleans as bytes."""
    return np.ascontiguousarray(x, dtype=np.uint8 if x.dtype == np.bool_ else x.dtype.newbyteorder("="))


def stored_targets(y: Samples) -> Samples:
    """The targets as the store keeps them: as samples are, whole-number labels (N,) as int64.

    Raises:
        InputError: a label that is larger.
    """
    labels = y.ndim == 1 and y.dtype.kind in "iub"
    if labels and y.dtype.itemsize == 8 and y.max() > _MOST:
        raise InputError(f"y holds the label {y.max()}, and labels go up to {_MOST}; number the classes 0…C−1")
    return np.ascontiguousarray(y, dtype=np.int64) if labels else stored_samples(y)
