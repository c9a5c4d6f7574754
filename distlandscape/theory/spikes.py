"""Where a low-rank perturbation of a random matrix shows as an outlier, and how far its eigenvector turns.

A spike below its threshold has no outlier: the value is None and the overlap 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from distlandscape.errors import InputError
from distlandscape.theory.softmax import require_scale

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spike:
    """An outlier.

    Attributes:
        value: its position; None below the threshold.
        overlap: squared cosine between its eigenvector and the spike's direction.
        threshold: strength above which there is an outlier.
    """

    value: float | None
    overlap: float
    threshold: float


@dataclass(frozen=True)
class RectangularSpike:
    """An outlying singular value; overlaps of its left and right singular vectors with the spike's."""

    value: float | None
    left: float
    right: float
    threshold: float


def spiked_covariance(ell: float, gamma: float) -> Spike:
    """Sample covariance of n samples in p dimensions, population eigenvalues 1 but for one ℓ, γ = p/n.

    Baik, Ben Arous & Péché 2005; Paul 2007.

    Raises:
        InputError: ℓ or γ not positive.
    """
    _positive(ell=ell, gamma=gamma)
    threshold = 1 + math.sqrt(gamma)
    if ell <= threshold:
        return Spike(None, 0.0, threshold)
    overlap = (1 - gamma / (ell - 1) ** 2) / (1 + gamma / (ell - 1))
    return Spike(ell * (1 + gamma / (ell - 1)), overlap, threshold)


def goe_spike(theta: float, sigma: float = 1.0) -> Spike:
    """θ v vᵀ added to a symmetric matrix with off-diagonal variance σ²/n, whose bulk is [−2σ, 2σ] (Péché 2006).

    Raises:
        InputError: θ or σ not positive.
    """
    _positive(theta=theta, sigma=sigma)
    if theta <= sigma:
        return Spike(None, 0.0, sigma)
    return Spike(theta + sigma**2 / theta, 1 - (sigma / theta) ** 2, sigma)


def wishart_spike(theta: float, gamma: float) -> Spike:
    """θ v vᵀ added to (1/n) XᵀX of standard normal X (n, p), γ = p/n.

    Raises:
        InputError: θ or γ not positive.
    """
    _positive(theta=theta, gamma=gamma)
    threshold = gamma + math.sqrt(gamma)
    if theta <= threshold:
        return Spike(None, 0.0, threshold)
    return Spike(theta + theta / (theta - gamma), 1 - gamma / (theta - gamma) ** 2, threshold)


def additive_spike(theta: float, bulk: npt.ArrayLike) -> Spike:
    """θ v vᵀ added to a matrix with eigenvalues ``bulk`` (n,), v unrelated to it (Benaych-Georges & Nadakuditi 2011).

    With m(z) the mean of 1/(x − z) over the bulk: m(λ) = −1/θ, overlap² = 1/(θ² m'(λ)). A measured bulk has gaps
    between its eigenvalues; its edge is taken one such gap above the largest, so the threshold is about that of the
    smooth bulk they stand for.

    Raises:
        InputError: θ not positive, or a bulk that is empty, of one value, or not finite.
    """
    _positive(theta=theta)
    x = _bulk(bulk)
    edge = _edge(x)

    def m(z: float) -> float:
        return float(np.mean(1 / (x - z)))

    threshold = -1 / m(edge)
    if theta <= threshold:
        return Spike(None, 0.0, threshold)
    far = x[-1] + theta + (x[-1] - x[0])
    value = float(brentq(lambda z: m(z) + 1 / theta, edge, far, xtol=1e-13 * max(1.0, abs(far))))
    return Spike(value, float(1 / (theta**2 * np.mean(1 / (x - value) ** 2))), threshold)


def multiplicative_spike(theta: float, bulk: npt.ArrayLike) -> Spike:
    """A^½ (I + θ v vᵀ) A^½ of a positive matrix A with eigenvalues ``bulk`` (n,), v unrelated to it (same source).

    With T(z) the mean of x/(z − x): T(λ) = 1/θ, overlap² = −(1 + θ)/(θ² λ T'(λ)), the overlap being that of
    (I + θ v vᵀ)^½ A (I + θ v vᵀ)^½, whose eigenvalues are the same.

    Raises:
        InputError: θ not positive, or a bulk that is empty, of one value, negative, or not finite.
    """
    _positive(theta=theta)
    x = _bulk(bulk)
    if x[0] < 0:
        raise InputError(
            f"a multiplicative spike needs a bulk without negative eigenvalues, not {x[0]:.3g}; use additive_spike"
        )
    edge = _edge(x)

    def T(z: float) -> float:  # noqa: N802
        return float(np.mean(x / (z - x)))

    threshold = 1 / T(edge)
    if theta <= threshold:
        return Spike(None, 0.0, threshold)
    far = x[-1] * (2 + theta)
    value = float(brentq(lambda z: T(z) - 1 / theta, edge, far, xtol=1e-13 * far))
    slope = -float(np.mean(x / (value - x) ** 2))
    return Spike(value, -(1 + theta) / (theta**2 * value * slope), threshold)


def rectangular_spike(theta: float, ratio: float) -> RectangularSpike:
    """θ u vᵀ added to an n × p matrix with entries of variance 1/n, c = p/n (Benaych-Georges & Nadakuditi 2012).

    Raises:
        InputError: θ or c not positive.
    """
    _positive(theta=theta, ratio=ratio)
    c, threshold = ratio, ratio**0.25
    if theta <= threshold:
        return RectangularSpike(None, 0.0, 0.0, threshold)
    t2 = theta**2
    value = math.sqrt((1 + t2) * (c + t2)) / theta
    return RectangularSpike(value, 1 - (c + t2) / (t2 * (t2 + 1)), 1 - c * (1 + t2) / (t2 * (t2 + c)), threshold)


def _bulk(bulk: npt.ArrayLike) -> Array:
    x = np.sort(np.asarray(bulk, dtype=np.float64).ravel())
    if len(x) < 2 or not np.isfinite(x).all() or x[0] == x[-1]:
        raise InputError(
            "a bulk needs at least two different, finite eigenvalues; give those of the unperturbed matrix"
        )
    return x


def _edge(x: Array) -> float:
    """Above the largest of n sorted eigenvalues by the width that about n^⅓ of them take there."""
    few = min(len(x) - 1, max(1, math.ceil(len(x) ** (1 / 3))))
    return float(x[-1] + max(x[-1] - x[-1 - few], 1e-12 * (x[-1] - x[0])) / few)


def _positive(**values: float) -> None:
    for name, value in values.items():
        require_scale(name, value)
        if value == 0:
            raise InputError(f"{name}=0 must be positive; correct it")
