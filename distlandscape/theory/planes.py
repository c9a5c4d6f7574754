"""The curvature a random plane sees of a matrix with outliers, and of one without.

For V a random orthonormal basis of a d-plane of R^D and d ≪ D, VᵀHV is a semicircle, which the bulk of H gives, freely
added to Σ θ_i u_i u_iᵀ with θ_i = λ_i d/D for the outliers λ_i and u_i random of mean square length 1. Its R-transform
is

    R(G) = c + σ² G + (1/d) Σ θ_i/(1 − θ_i G),   c = Tr/D and σ² = d (‖·‖_F² − Tr²/D)/D² of the bulk,

and its Cauchy transform G(z) = ∫ dμ(x)/(z − x) solves z = R(G) + 1/G (Voiculescu 1986; Marchenko & Pastur 1967 for the
sum). Without outliers this is the semicircle of ``hyperplane_semicircle``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from distlandscape.errors import InputError
from distlandscape.theory.bulks import hyperplane_semicircle

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complexfloating[Any, Any]]
PATH = 22  # points on the way from far above the real axis down to it
HEIGHT = 1e-6  # of the last point, over the range of the spectrum
DAMPED, NEWTON = 3, 5  # steps at each of them
TRACY_WIDOM = 1.2065336  # −E of the real (β = 1) Tracy–Widom law


@dataclass(frozen=True)
class PlaneSpectrum:
    """Eigenvalues of VᵀHV in a random d-plane, in the limit 1 ≪ d ≪ D.

    Attributes:
        plane: d.
        centre: c, the mean of what the bulk gives.
        sigma: σ, half the radius of its semicircle.
        spikes: θ_i, what the outliers keep of their size in the plane, descending.
    """

    plane: int
    centre: float
    sigma: float
    spikes: tuple[float, ...]

    @property
    def lower_edge(self) -> float:
        """Where the spectrum begins: the highest R(G) + 1/G on the negative axis up to the first pole."""
        if self.sigma == 0 and not self.spikes:
            return self.centre
        lowest = min(0.0, *self.spikes) if self.spikes else 0.0
        pole = 1 / lowest if lowest else -math.inf
        scale = max(self.sigma, max(map(abs, self.spikes), default=0.0))

        def below(t: float) -> float:
            G = -math.exp(t) / scale
            return -self._z(G) if pole < G else math.inf

        end = math.log(-pole * scale) if lowest else 25.0
        return -float(minimize_scalar(below, bounds=(-25.0, end), method="bounded", options={"xatol": 1e-10}).fun)

    @property
    def all_positive(self) -> bool:
        """Whether all of the limiting spectrum lies above 0."""
        return self.lower_edge > 0

    @property
    def lowest(self) -> float:
        """Expected smallest eigenvalue at finite d: the edge and the Tracy–Widom shift σ d^(−2/3) inwards."""
        return self.lower_edge + TRACY_WIDOM * self.sigma / math.cbrt(self.plane**2)

    @property
    def positive(self) -> float:
        """Predicted share of positive curvature."""
        return float(1 - self.cumulative(np.zeros(1))[0])

    def density(self, x: npt.ArrayLike) -> Array:
        """Density at x, smoothed by a Lorentzian of 10⁻⁶ of the range; integrates to 1."""
        where = np.asarray(x, dtype=np.float64)
        density = np.asarray(-self._cauchy(where.ravel())[1].imag / np.pi, dtype=np.float64)
        return density.reshape(where.shape)

    def cumulative(self, x: npt.ArrayLike) -> Array:
        """Share of eigenvalues up to x.

        In closed form: ∫ log(z − x) dμ = zG − ∫ R dG − log G − 1, whose imaginary part is π times the share above.
        """
        where = np.asarray(x, dtype=np.float64)
        z, G = self._cauchy(where.ravel())
        spread = np.log(1 - np.array(self.spikes)[:, None] * G).sum(0) / self.plane
        potential = z * G - self.centre * G - self.sigma**2 * G**2 / 2 + spread - np.log(G)
        share: Array = np.clip(1 - potential.imag / np.pi, 0, 1)
        return share.reshape(where.shape)

    def distance(self, eigenvalues: npt.ArrayLike) -> float:
        """Kolmogorov–Smirnov distance between measured eigenvalues and this spectrum."""
        measured = np.sort(np.asarray(eigenvalues, dtype=np.float64).ravel())
        if not len(measured):
            raise InputError("a distance to a spectrum needs at least one eigenvalue; give some")
        expected, n = self.cumulative(measured), len(measured)
        return float(max((np.arange(1, n + 1) / n - expected).max(), (expected - np.arange(n) / n).max()))

    def _z(self, G: float) -> float:
        return self.centre + self.sigma**2 * G + 1 / G + sum(t / (1 - t * G) for t in self.spikes) / self.plane

    def _range(self) -> tuple[float, float]:
        """Surely around the spectrum: norms of the parts add up."""
        few = (1 + math.sqrt(len(self.spikes) / self.plane)) ** 2
        reach = 2.2 * self.sigma
        top = max(0.0, *self.spikes) if self.spikes else 0.0
        bottom = min(0.0, *self.spikes) if self.spikes else 0.0
        return self.centre - reach + bottom * few, self.centre + reach + top * few

    def _cauchy(self, x: Array) -> tuple[Complex, Complex]:
        """Z just above the real axis, and G(z), followed from far above, where G ≈ 1/z is the only solution."""
        spikes = np.array(self.spikes)[:, None]
        low, high = self._range()
        width = high - low
        z: Complex = x + 0j
        G: Complex = 1 / (x - self.centre + 3j * width)
        for height in width * np.geomspace(3.0, HEIGHT, PATH):
            z = x + 1j * height
            for _ in range(DAMPED):  # maps the lower half-plane into itself, so it leads to the fixed point there
                G = (G + 1 / (z - self._transform(G, spikes))) / 2
            G = self._polished(G, z, spikes)
        return z, G

    def _transform(self, G: Complex, spikes: Array) -> Complex:
        R: Complex = self.centre + self.sigma**2 * G
        R += (spikes / (1 - spikes * G)).sum(0) / self.plane
        return R

    def _polished(self, G: Complex, z: Complex, spikes: Array) -> Complex:
        """Newton steps for R(G) + 1/G = z, taken where they stay in the lower half-plane and help."""
        wrong = self._transform(G, spikes) + 1 / G - z
        for _ in range(NEWTON):
            slope = self.sigma**2 - 1 / G**2 + ((spikes / (1 - spikes * G)) ** 2).sum(0) / self.plane
            tried = G - wrong / slope
            tried = np.where(tried.imag < 0, tried, G)
            left = self._transform(tried, spikes) + 1 / tried - z
            better = np.abs(left) < np.abs(wrong)
            G, wrong = np.where(better, tried, G), np.where(better, left, wrong)
        return G


def plane_spectrum(
    trace: float, frobenius: float, dim: int, plane: int, outliers: Sequence[float] | Array = ()
) -> PlaneSpectrum:
    """What a random d-plane sees of a D × D matrix of which trace, norm and some outlying eigenvalues are known.

    Args:
        trace: Tr H of the whole matrix.
        frobenius: ‖H‖_F of the whole matrix.
        dim: D.
        plane: d.
        outliers: eigenvalues of H that are taken out of the bulk and put in again as spikes; any number of them.

    Raises:
        InputError: see ``hyperplane_semicircle``; outliers that are not finite or larger than the norm.
    """
    hyperplane_semicircle(trace, frobenius, dim, plane)  # what is wrong with the whole matrix is said of it
    values = np.sort(np.asarray(outliers, dtype=np.float64).ravel())[::-1]
    if not np.isfinite(values).all():
        raise InputError("outliers must be finite; leave out those that are not")
    square = frobenius**2 - float(np.square(values).sum())
    if square < -1e-9 * frobenius**2:
        raise InputError(f"the outliers are larger than the norm {frobenius:.6g} of the whole matrix; correct them")
    rest = trace - float(values.sum())
    # A bulk of a few directions of H has D of its own; the outliers' k are not worth taking off D ≫ k.
    bulk = math.sqrt(max(square, rest**2 / dim))  # rounding and errors of estimates must not leave less than the mean
    semicircle = hyperplane_semicircle(rest, bulk, dim, plane)
    share = plane / dim
    return PlaneSpectrum(plane, semicircle.centre, semicircle.radius / 2, tuple(float(v) * share for v in values))
