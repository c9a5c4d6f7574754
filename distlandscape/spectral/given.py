"""What callers give, checked for its type before it is used: a sentence in place of an error from deep inside."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs


def check_operator(H: Any) -> None:
    """Raise InputError unless H has products with vectors of a space."""
    if not (hasattr(H, "apply") and hasattr(H, "space")):
        raise InputError(
            f"an operator is needed, not an object of type {type(H).__name__}; give, for example, dl.Hessian(objective)"
        )


def check_whole(**numbers: Any) -> None:
    """Raise InputError unless all are whole numbers, of Python or numpy."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise InputError(f"{name}={value!r} must be a whole number; correct it")


def check_real(**numbers: Any) -> None:
    """Raise InputError unless all are numbers."""
    for name, value in numbers.items():
        if not isinstance(value, Real):
            raise InputError(f"{name}={value!r} must be a number; correct it")


def check_pairs(**pairs: Any) -> None:
    """Raise InputError unless each is None or the result of ``top_eigenpairs``."""
    for name, value in pairs.items():
        if value is not None and not isinstance(value, Eigenpairs):
            raise InputError(
                f"{name} must be eigenpairs as dl.top_eigenpairs returns them, not an object of type"
                f" {type(value).__name__}; correct it or leave it out"
            )
