"""How stored values become inputs: (x − shift) / divisor, one pair of numbers or one a channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from distlandscape.data.rows import Rows, Samples, chunks
from distlandscape.errors import InputError

KINDS = ("none", "unit", "standard")


@dataclass(frozen=True)
class Scaling:
    """x becomes (x − shift) / divisor; one number each, or one a channel (axis 1 of x)."""

    shift: tuple[float, ...]
    divisor: tuple[float, ...]

    def __str__(self) -> str:
        shift, divisor = (_numbers(values) for values in (self.shift, self.divisor))
        return f"divided by {divisor}" if not any(self.shift) else f"minus {shift}, divided by {divisor}"


def make_scaling(kind: str | None, x: Rows, train: Rows) -> Scaling | None:
    """The scaling of samples ``x``.

    Args:
        kind: "none"; "unit": bytes divided by 255; "standard": minus the mean and divided by the standard deviation
            of each channel (feature, for tables), over all samples of the train split; None: "unit" for bytes.
        x: the samples.
        train: all samples of the train split.

    Raises:
        InputError: unknown kind, or "unit" of samples that are no bytes.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown data.scaling {kind!r}; known: {', '.join(KINDS)}")
    bytes_ = x.dtype == np.uint8
    if kind == "unit" and not bytes_:
        raise InputError(f"data.scaling=unit divides bytes by 255, but samples are {x.dtype}; use standard or none")
    if kind == "standard":
        return _standard(chunks(train))
    return Scaling((0.0,), (255.0,)) if bytes_ and kind != "none" else None


def _standard(parts: Iterable[Samples]) -> Scaling:
    """Mean and standard deviation in float64; a constant channel is only shifted."""
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for part in parts:  # Chan et al. 1979: exact where sums of squares would cancel
        values = np.moveaxis(part.astype(np.float64), 1, -1).reshape(-1, part.shape[1])
        n, centre = len(values), values.mean(0)
        gap, total = centre - mean, count + n
        squares = squares + np.square(values - centre).sum(0) + np.square(gap) * (count * n / total)
        mean, count = mean + gap * (n / total), total
    spread = np.sqrt(squares / count)
    return Scaling(tuple(mean.tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist()))


def _numbers(values: tuple[float, ...]) -> str:
    shown = [f"{value:.6g}" for value in values[:4]] + ["…"] * (len(values) > 4)
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"
