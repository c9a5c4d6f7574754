"""How samples are scaled when they are used: bytes stay bytes in the store, and the numbers travel with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from distlandscape.data.arrays import Samples, check_finite
from distlandscape.errors import InputError

SCALINGS = ("none", "unit", "standard")
PIECE = 2**20  # elements widened to float64 at once
_SHOWN = 4


@dataclass(frozen=True)
class Scaling:
    """Samples x are used as (x − shift) / divisor, with one value each, or one per channel (axis 1 of x).

    Raises:
        InputError: no values, unequal numbers of them, or a divisor that cannot be one.
    """

    shift: tuple[float, ...]
    divisor: tuple[float, ...]

    def __post_init__(self) -> None:
        values = (*self.shift, *self.divisor)
        if not self.shift or len(self.shift) != len(self.divisor) or not all(map(math.isfinite, values)):
            raise InputError("a scaling needs a finite shift and divisor per channel, or one of each; correct them")
        if not all(self.divisor):
            raise InputError("a scaling's divisor is 0; give a positive number")

    @property
    def name(self) -> str:
        """The value of ``data.scaling`` that this is."""
        return "unit" if self == UNIT else "standard"

    @property
    def words(self) -> str:
        """The formula with its numbers; of many channels the first few."""
        if len(self.shift) == 1:
            return f"(x − {self.shift[0]:.6g}) / {self.divisor[0]:.6g}"
        return f"(x − {_listed(self.shift)}) / {_listed(self.divisor)} per channel"

    def header(self) -> dict[str, list[float]]:
        """As plain lists, for a file's header."""
        return {"shift": list(self.shift), "divisor": list(self.divisor)}

    @classmethod
    def from_header(cls, header: dict[str, Any] | None) -> Scaling | None:
        """Inverse of ``header``; None for None."""
        return None if header is None else cls(*(tuple(map(float, header[name])) for name in ("shift", "divisor")))


UNIT = Scaling((0.0,), (255.0,))


def standard(chunks: Iterable[Samples]) -> Scaling:
    """Mean and population standard deviation per channel (axis 1), in float64, over all samples of ``chunks``.

    A channel that is constant is shifted to 0 and divided by 1: it tells samples apart no more than before.
    Chunks are merged by the update of Chan, Golub and LeVeque (1983), on distances from the first sample, so that
    nothing cancels.

    Raises:
        InputError: NaN or infinite values, or values too large to be squared.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    origin: Samples | None = None
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        for x in _pieces(chunks):
            check_finite("x", x)
            axes, column = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
            if origin is None:
                origin = x[0].reshape(x.shape[1], -1)[:, 0].astype(np.float64)
            wide = x.astype(np.float64)
            wide -= origin.reshape(column)
            new, own = wide.size // wide.shape[1], wide.mean(axes)
            wide -= own.reshape(column)
            step = own - mean
            squares = squares + np.square(wide, out=wide).sum(axes) + step**2 * (count * new / (count + new))
            mean = mean + step * (new / (count + new))
            count += new
    assert origin is not None, "there is a sample"
    deviation = np.sqrt(squares / count)
    if not np.isfinite(deviation).all():
        raise InputError("data.scaling=standard: the samples are too large to be squared; rescale them before")
    return Scaling(tuple((origin + mean).tolist()), tuple(np.where(deviation == 0, 1.0, deviation).tolist()))


def _pieces(chunks: Iterable[Samples]) -> Iterator[Samples]:
    for chunk in chunks:
        rows = max(1, PIECE // math.prod(chunk.shape[1:]))
        for start in range(0, len(chunk), rows):
            yield chunk[start : start + rows]


def _listed(values: tuple[float, ...]) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values[:_SHOWN])
    return f"[{shown}]" if len(values) <= _SHOWN else f"[{shown}, … {len(values)} values]"
