"""Limiting densities of random matrices: Marchenko–Pastur, and the semicircle a random plane sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.theory.softmax import require_scale, require_size

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MarchenkoPastur:
    """Eigenvalues of (1/n) XᵀX, X n × p with entries of variance σ², γ = p/n.

    Attributes:
        gamma: γ.
        variance: σ².
        lower: σ²(1 − √γ)².
        upper: σ²(1 + √γ)².
        atom: share of eigenvalues that are 0: 1 − 1/γ for γ > 1.
    """

    gamma: float
    variance: float
    lower: float
    upper: float
    atom: float

    def density(self, x: npt.ArrayLike) -> Array:
        """Density of the part that is not the atom; it integrates to 1 − atom."""
        x = np.asarray(x, dtype=np.float64)
        inside = (x > self.lower) & (x < self.upper) & (x > 0)
        safe = np.where(inside, x, 1.0)
        root = np.sqrt(np.maximum((self.upper - x) * (x - self.lower), 0))
        return np.where(inside, root / (2 * np.pi * self.gamma * self.variance * safe), 0.0)


def marchenko_pastur(gamma: float, variance: float = 1.0) -> MarchenkoPastur:
    """The law of Marchenko & Pastur (1967).

    Raises:
        InputError: γ or variance not positive.
    """
    for name, value in (("gamma", gamma), ("variance", variance)):
        require_scale(name, value)
        if value == 0:
            raise InputError(f"{name}=0 must be positive; correct it")
    root = math.sqrt(gamma)
    return MarchenkoPastur(
        gamma, variance, variance * (1 - root) ** 2, variance * (1 + root) ** 2, max(0.0, 1 - 1 / gamma)
    )


@dataclass(frozen=True)
class Semicircle:
    """Spectrum of Vᵀ H V for V an orthonormal basis of a random d-plane and H without outliers.

    Attributes:
        centre: Tr H/D.
        radius: 2√d √(‖H‖_F² − (Tr H)²/D)/D.
        all_positive: whether the whole semicircle lies above 0, about Tr H/‖H‖_F > 2√d.
    """

    centre: float
    radius: float

    @property
    def all_positive(self) -> bool:
        """Whether all curvature in the plane is positive."""
        return self.centre > self.radius

    def density(self, x: npt.ArrayLike) -> Array:
        """Density; integrates to 1."""
        x = (np.asarray(x, dtype=np.float64) - self.centre) / self.radius
        return 2 / (np.pi * self.radius) * np.sqrt(np.maximum(1 - x**2, 0))

    def cumulative(self, x: npt.ArrayLike) -> Array:
        """Share of eigenvalues up to x."""
        x = np.clip((np.asarray(x, dtype=np.float64) - self.centre) / self.radius, -1, 1)
        share: Array = 0.5 + (x * np.sqrt(1 - x**2) + np.arcsin(x)) / np.pi
        return share


def hyperplane_semicircle(trace: float, frobenius: float, dim: int, plane: int) -> Semicircle:
    """What a random plane of dimension d sees of a D × D matrix of which trace and norm are known, 1 ≪ d ≪ D.

    Raises:
        InputError: sizes that are not positive, d above D, or a norm too small for the trace.
    """
    require_size("dim", dim)
    require_size("plane", plane)
    require_scale("frobenius", frobenius)
    if plane > dim:
        raise InputError(f"plane={plane} is above dim={dim}; lower it")
    if not math.isfinite(trace):
        raise InputError(f"trace={trace!r} must be finite; correct it")
    spread = frobenius**2 - trace**2 / dim
    if spread < -1e-9 * frobenius**2:
        raise InputError(f"no matrix of dimension {dim} has trace {trace:.6g} and norm {frobenius:.6g}; correct them")
    return Semicircle(trace / dim, 2 * math.sqrt(plane * max(spread, 0.0)) / dim)
