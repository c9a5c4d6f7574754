"""Operators so small or so large that the arithmetic of a solver would leave the range of floating point."""

from __future__ import annotations

import math

import numpy as np

from distlandscape.errors import InputError
from distlandscape.spectral.space import Array, Space

# Norms are roots of sums of squares in float64, from 2⁻¹⁰²² to 2¹⁰²⁴. What is 2⁻⁵² of a norm has to have a square there
# (2·(450 + 52) < 1022), and so has the sum over up to 2⁶⁰ entries (2·480 + 60 < 1024).
SMALLEST = 2.0**-450
LARGEST = 2.0**480


def power_of_two(values: Array) -> float:
    """One near the largest of them, 1 where all are 0: in units of it no bit changes, and squares stay in range."""
    return float(2.0 ** int(np.frexp(np.max(np.abs(values), initial=0.0))[1]))


def check_scale(space: Space, norm: float, products: Array) -> None:
    """Refuse products whose squares leave the range of float64, or whose entries that of float32.

    Args:
        space: theirs.
        norm: their size over that of the vectors multiplied, computed by squares: 0 or infinite where those leave it.
        products: inner products with them, which are no squares: 0 only where the products are.

    Raises:
        InputError: they do.
    """
    size = float(np.max(np.abs(products), initial=0.0))
    if not math.isfinite(size):
        return  # they are not finite themselves, which is another matter
    large = not math.isfinite(norm) or max(size, norm) > LARGEST
    size = max(size, norm) if math.isfinite(norm) else size
    smallest = SMALLEST
    if space.eps > np.finfo(np.float64).eps:  # entries of norm/√P on average round to a multiple of eps·tiny
        smallest = float(np.finfo(np.float32).tiny) * math.sqrt(space.dim)
    if not large and (size == 0 or size >= smallest):
        return
    factor = f"2.0**{-round(math.log2(size))}"
    raise InputError(
        f"products with the operator are of size {size:.0e}, too {'large' if large else 'small'} to be squared in the"
        f" range of floating point; multiply the loss by a power of two, for example {factor}, and divide the results"
        " by it"
    )
