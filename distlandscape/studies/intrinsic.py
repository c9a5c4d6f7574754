"""Statistics of trainings by dimension: means with bootstrap intervals, the crossing of a threshold, success rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
LEVEL = 0.95
Z = 1.959963984540054  # of a normal, for LEVEL
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Crossing:
    """Where mean accuracy first reaches a threshold.

    Attributes:
        value: dimension, interpolated in log d between the measured ones around it; the smallest measured one where
            that reaches the threshold; None: not reached.
        low: lower end of the bootstrap interval; None: more than 2.5 % of the resamples reach the threshold in the
            smallest dimension already, or nearly all do not reach it at all.
        high: upper end; None: more than 2.5 % of the resamples do not reach the threshold.
        below: largest measured dimension before it; None: the smallest one reaches it already.
        at: smallest measured dimension that reaches it.
    """

    value: float | None
    low: float | None
    high: float | None
    below: int | None
    at: int | None


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a binomial share at level 0.95 (Wilson 1927)."""
    share, square = successes / trials, Z * Z / trials
    centre = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    # The ends are exact where all or none succeed; rounding must not leave [0, 1].
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)


def mean_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and its percentile bootstrap interval at level 0.95; of few values it is too narrow."""
    array = np.asarray(values, dtype=np.float64)
    means = _resampled(array, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(array.mean()), float(low), float(high)


def crossing(
    accuracies: Mapping[int, Sequence[float]], baseline: Sequence[float] | None, threshold: float, seed: int = 0
) -> Crossing:
    """The smallest dimension whose mean accuracy reaches a threshold, with a bootstrap interval over the trainings.

    Args:
        accuracies: of the trainings of each dimension.
        baseline: accuracies in full space, of whose mean ``threshold`` is a share; None: it is absolute.
        threshold: share or accuracy.
        seed: of the resamples.
    """
    dims = sorted(accuracies)
    groups = [np.asarray(accuracies[d], dtype=np.float64) for d in dims]
    level = threshold if baseline is None else threshold * float(np.mean(baseline))
    reached = [d for d, group in zip(dims, groups, strict=True) if group.mean() >= level]
    value = max(dims[0], _first(dims, np.array([[group.mean() for group in groups]]), np.array([level]))[0])
    random = np.random.default_rng(seed)
    means = np.stack([_resampled(group, random) for group in groups], axis=1)
    levels = np.full(RESAMPLES, level)
    if baseline is not None:
        levels = threshold * _resampled(np.asarray(baseline, dtype=np.float64), random)
    # Not interpolated: the quantile next to an infinite one would be infinite or nan.
    found = np.sort(_first(dims, means, levels))
    low, high = found[math.floor((1 - LEVEL) / 2 * RESAMPLES)], found[math.ceil((1 + LEVEL) / 2 * RESAMPLES) - 1]
    at = reached[0] if reached else None
    below = max((d for d in dims if at is not None and d < at), default=None)
    return Crossing(_known(value), _known(low) if low > 0 else None, _known(max(dims[0], high)), below, at)


def next_dims(found: Crossing, dims: Sequence[int]) -> list[int]:
    """Two dimensions that cut the bracket into three equal parts of log d; none where it is tight (10 %) or open."""
    if found.at is None or found.below is None or found.at <= 1.1 * found.below:
        return []
    ratio = found.at / found.below
    inside = {round(found.below * ratio ** (k / 3)) for k in (1, 2)}
    return sorted(inside - set(dims))


def _first(dims: Sequence[int], means_RD: Array, levels_R: Array) -> Array:
    """(R,) first crossing of each row: inf where there is none, 0 where the smallest dimension is at or beyond it."""
    logs = np.log(np.asarray(dims, dtype=np.float64))
    reached = means_RD >= levels_R[:, None]
    place = reached.argmax(1)
    rows = np.arange(len(means_RD))
    before = np.maximum(place - 1, 0)
    low, high = means_RD[rows, before], means_RD[rows, place]
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.exp(logs[before] + (levels_R - low) / (high - low) * (logs[place] - logs[before]))
    return np.where(reached.any(1), np.where(place > 0, value, 0.0), np.inf)


def _resampled(values: Array, random: np.random.Generator) -> Array:
    return np.asarray(values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(1))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
