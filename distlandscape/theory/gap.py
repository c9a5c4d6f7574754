"""Where outliers end and the bulk begins in a list of leading eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError

MIN_RATIO = 1.5  # a gap below which the ratio is smaller is no gap


@dataclass(frozen=True)
class Gap:
    """The gap after the outliers.

    Attributes:
        outliers: number of eigenvalues above the gap; 0 where there is no gap.
        ratio: λ_k/λ_{k+1} across it; the largest found where there is none.
        bulk_edge: the first eigenvalue below it; the largest one where there is none.
        width: λ_k − λ_{k+1}.
    """

    outliers: int
    ratio: float
    bulk_edge: float
    width: float


def find_gap(eigenvalues: npt.ArrayLike, residuals: npt.ArrayLike | None = None, *, most: int | None = None) -> Gap:
    """The largest ratio between neighbours among the leading positive eigenvalues.

    The bulk edge is the first eigenvalue below the gap. A gap counts when its ratio is at least 1.5 and, where
    residuals are known, when it is wider than both residuals together. Give some more eigenvalues than the outliers
    that are looked for: what lies below the last one is not known.

    Args:
        eigenvalues: (m,) leading eigenvalues, in any order.
        residuals: (m,) bounds of their errors.
        most: outliers at most.

    Raises:
        InputError: fewer than two eigenvalues, values that are not finite, or residuals of another length.
    """
    values = np.asarray(eigenvalues, dtype=np.float64).ravel()
    errors = np.zeros_like(values) if residuals is None else np.asarray(residuals, dtype=np.float64).ravel()
    if len(values) < 2 or not np.isfinite(values).all():
        raise InputError("a gap needs at least two finite eigenvalues; measure more of them")
    if errors.shape != values.shape:
        raise InputError(f"{len(values)} eigenvalues have {len(errors)} residuals; give one each")
    order = np.argsort(values)[::-1]
    values, errors = values[order], errors[order]
    last = min(len(values) - 1, most if most is not None else len(values) - 1)
    upper, lower = values[:last], values[1 : last + 1]
    ratios = np.where(lower > 0, upper / np.where(lower > 0, lower, 1.0), np.where(upper > 0, np.inf, 0.0))
    clear = (upper - lower > errors[:last] + errors[1 : last + 1]) & (upper > 0)
    ratios = np.where(clear, ratios, 0.0)
    k = int(np.argmax(ratios))
    if ratios[k] < MIN_RATIO:
        return Gap(0, float(ratios[k]), float(values[0]), 0.0)
    return Gap(k + 1, float(ratios[k]), float(lower[k]), float(upper[k] - lower[k]))
