"""Moments of the softmax of Gaussian logits, and the scale at which it freezes to a corner of the simplex.

Shapes: C classes, n draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from distlandscape.errors import InputError

Array = npt.NDArray[np.float64]
STEP = 0.05  # of the trapezoidal sums, which converge exponentially for these functions
REACH = 9.0  # standard deviations of a logit that are summed over
WIDE = 0.8  # σ_z above which the Gaussian is smooth on the scale of a step
CHUNK = 2**22  # random numbers drawn at once


@dataclass(frozen=True)
class SoftmaxMoments:
    """Means over p = softmax(z), z_k independent N(0, σ_z²).

    Attributes:
        s: S = E Σ p², 1/C for σ_z = 0 and 1 when frozen.
        cubes: E Σ p³.
        squared: E (Σ p²)².
        stderr: standard error of ``s``; 0 for quadrature.
    """

    s: float
    cubes: float
    squared: float
    stderr: float

    @property
    def m2(self) -> float:
        """E ‖diag p − p pᵀ‖_F² = E[Σp² − 2Σp³ + (Σp²)²]."""
        return self.s - 2 * self.cubes + self.squared

    @property
    def spread(self) -> float:
        """E (1 − Σp²)², of the trace of diag p − p pᵀ."""
        return 1 - 2 * self.s + self.squared


def softmax_moments(
    classes: int, sigma_z: float, method: str = "quadrature", *, draws: int = 100_000, seed: int = 0
) -> SoftmaxMoments:
    """Moments of the softmax of C independent Gaussian logits.

    Quadrature is exact to about 1e-10: with 1/A² = ∫ t e^{−tA} dt every moment becomes one integral over t of products
    of one-dimensional Gaussian means. Monte Carlo is its independent check.

    Args:
        classes: C ≥ 2.
        sigma_z: standard deviation of a logit, 0 or positive.
        method: "quadrature" or "monte_carlo".
        draws: of "monte_carlo".
        seed: of "monte_carlo".

    Raises:
        InputError: C below 2, a negative or infinite σ_z, or an unknown method.
    """
    require_classes(classes)
    require_scale("sigma_z", sigma_z)
    if method == "quadrature":
        return _quadrature(classes, sigma_z)
    if method == "monte_carlo":
        return _monte_carlo(classes, sigma_z, draws, seed)
    raise InputError(f"method={method!r} is unknown; known: quadrature, monte_carlo")


def freezing_scale(classes: int) -> float:
    """σ_z* = √(2 ln C), above which softmax of Gaussian logits freezes as C grows (random energy model, Derrida 1981).

    For large C and σ_z > σ_z*, S → 1 − σ_z*/σ_z; at C = 10 this is still far off, see ``softmax_moments``.

    Raises:
        InputError: C below 2.
    """
    require_classes(classes)
    return math.sqrt(2 * math.log(classes))


def _quadrature(C: int, sigma: float) -> SoftmaxMoments:
    if sigma == 0:
        return SoftmaxMoments(1 / C, 1 / C**2, 1 / C**2, 0.0)
    step = STEP * max(1.0, sigma / 5)
    s = np.arange(-REACH * sigma - 45, REACH * sigma + 8, step)  # t = e^s
    none, two, three, four = _laplace(s, sigma) if sigma > WIDE else _laplace_narrow(s, sigma)
    others = none ** (C - 1)
    s2 = C * step * float(np.sum(two * others))
    s3 = C * step * float(np.sum(three * others)) / 2
    fourth = C * step * float(np.sum(four * others)) / 6
    pairs = C * (C - 1) * step * float(np.sum(two**2 * none ** (C - 2))) / 6
    return SoftmaxMoments(s2, s3, fourth + pairs, 0.0)


def _laplace(s: Array, sigma: float) -> list[Array]:
    """t^k E[e^{kz} exp(−t e^z)] for k = 0, 2, 3, 4 and t = e^s, by a sum over x = s + z where the integrand is."""
    x = np.arange(-40.0, 6.5, STEP)
    kernel = np.exp(-0.5 * ((x - s[:, None]) / sigma) ** 2) * (STEP / (sigma * math.sqrt(2 * math.pi)))
    decay = np.exp(-np.exp(x))
    below = ndtr((x[0] - 0.5 * STEP - s) / sigma)  # left of the grid the integrand of k = 0 is 1
    return [kernel @ decay + below, *(kernel @ (np.exp(k * x) * decay) for k in (2, 3, 4))]


def _laplace_narrow(s: Array, sigma: float) -> list[Array]:
    """The same by a sum over z, which a narrow Gaussian needs."""
    z = np.arange(-REACH, REACH, 1 / 8) * sigma
    weight = np.exp(-0.5 * (z / sigma) ** 2)
    weight /= weight.sum()
    x = np.minimum(s[:, None] + z, 50)
    decay = np.exp(-np.exp(x))
    return [(np.exp(k * x) * decay) @ weight for k in (0, 2, 3, 4)]


def _monte_carlo(C: int, sigma: float, draws: int, seed: int) -> SoftmaxMoments:
    if draws < 2:
        raise InputError(f"draws={draws} must be at least 2 for a standard error; raise it")
    generator = np.random.default_rng(seed)
    squares, cubes = np.empty(draws), np.empty(draws)
    size = max(1, CHUNK // C)
    for start in range(0, draws, size):
        p = softmax(sigma * generator.standard_normal((min(size, draws - start), C)))
        squares[start : start + len(p)] = np.square(p).sum(1)
        cubes[start : start + len(p)] = (p**3).sum(1)
    stderr = float(squares.std(ddof=1) / math.sqrt(draws))
    return SoftmaxMoments(float(squares.mean()), float(cubes.mean()), float(np.square(squares).mean()), stderr)


def softmax(z: Array) -> Array:
    """Softmax over the last axis."""
    p: Array = np.exp(z - z.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p


def require_classes(classes: int) -> None:
    """Raise InputError unless there are at least two classes."""
    if not _whole(classes) or classes < 2:
        raise InputError(f"classes={classes!r} must be a whole number of at least 2; correct it")


def require_size(name: str, size: int) -> None:
    """Raise InputError unless a size is a positive whole number."""
    if not _whole(size) or size < 1:
        raise InputError(f"{name}={size!r} must be a positive whole number; correct it")


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_scale(name: str, value: float) -> None:
    """Raise InputError unless a scale is finite and not negative."""
    if not 0 <= value < math.inf:
        raise InputError(f"{name}={value!r} must be a finite number, 0 or positive; correct it")
