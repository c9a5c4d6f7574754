"""What the random model looks like when C ≪ N and D: bulk edge, outliers, overlaps, norms, confinement.

With τ the eigenvalues of diag p − p pᵀ, r(m) = E Σ τ/(1 + (Dσ_E²/N) m τ)/(C − 1) and, on m < 0,
λ(m) = −1/m + (C − 1) σ_E² r(m): the bulk ends where dλ/dm = 0, and C − 1 outliers sit at the λ(m) with
m r(m) = −1/(Dσ_c²), if there is such an m.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize_scalar

from distlandscape.theory.softmax import softmax, softmax_moments

Array = npt.NDArray[np.float64]
RANGE = 6  # N and D have to be so many times C, or finite size shows
DRAWS = 400_000  # eigenvalues of diag p − p pᵀ that stand for their distribution


@dataclass(frozen=True)
class Prediction:
    """Predictions for a large draw.

    Attributes:
        outlier: position of the C − 1 outliers, None where there are none.
        bulk_edge: upper end of the bulk.
        threshold: the σ_c above which outliers exist, all else equal.
        overlap: squared overlap of the outliers' eigenspace with the span of the cluster means; 0 without outliers.
        confinement: expected |V g|²/|g|² of the C − 1 leading eigenvectors, for labels sampled from p; None for others.
        trace: Tr G.
        frobenius: ‖G‖_F.
        trace_over_frobenius: their ratio.
    """

    outlier: float | None
    bulk_edge: float
    threshold: float
    overlap: float
    confinement: float | None
    trace: float
    frobenius: float
    trace_over_frobenius: float


def predict(
    classes: int, examples: int, dim: int, sigma_c: float, sigma_e: float, sigma_z: float, sampled_labels: bool
) -> Prediction:
    """See RandomModel.predict; warns where C is not small beside N and D."""
    C, N, D = classes, examples, dim
    if min(N, D) < RANGE * C:
        warnings.warn(
            f"the prediction holds for C far below N and D; with C={C}, N={N}, D={D} finite size shows",
            stacklevel=3,
        )
    moments = softmax_moments(C, sigma_z)
    S, T = moments.s, sigma_c**2 + sigma_e**2
    trace = (1 - S) * D * T
    within = (D * (D + 1) * T**2 * moments.m2 + D * T**2 * moments.spread) / N
    between = (1 - 1 / N) * (1 - S) ** 2 * (D * T**2 + D * (D + 1) * sigma_c**4 / (C - 1))
    frobenius = math.sqrt(within + between)
    edge, threshold, outlier, overlap = _spectrum(C, N, D, sigma_c, sigma_e, sigma_z, (1 - S) / (C - 1))
    confinement = None
    if sampled_labels:
        share = min(1.0, (C - 1) * (outlier if outlier is not None else edge) / trace)
        confinement = share - 2 * share**2 * (1 - share) / (C - 1)
    return Prediction(outlier, edge, threshold, overlap, confinement, trace, frobenius, trace / frobenius)


def _spectrum(
    C: int, N: int, D: int, sigma_c: float, sigma_e: float, sigma_z: float, mean_tau: float
) -> tuple[float, float, float | None, float]:
    """Bulk edge, threshold, outlier and overlap."""
    if sigma_e == 0:  # no bulk: the outliers are those of Σ c cᵀ alone
        return 0.0, 0.0, D * sigma_c**2 * mean_tau, 1.0
    bulk = Bulk(C, N, D, sigma_e, sigma_z)
    threshold = math.sqrt(bulk.threshold / D)
    m = bulk.pole_of(D * sigma_c**2)
    if m is None:
        return bulk.edge, threshold, None, 0.0
    step = 1e-5 * abs(m)
    d_position = (bulk.position(m + step) - bulk.position(m - step)) / (2 * step)
    d_Q = (-(m + step) * bulk.r(m + step) + (m - step) * bulk.r(m - step)) / (2 * step)
    overlap = m / (D * sigma_c**2 * d_Q / d_position)
    return bulk.edge, threshold, bulk.position(m), float(min(max(overlap, 0.0), 1.0))


class Bulk:
    """The bulk that scatter alone makes, σ_E > 0, and where an outlier of a given strength |c|² stands above it.

    Attributes:
        edge: its upper end.
        threshold: the strength above which there is an outlier.
    """

    def __init__(self, C: int, N: int, D: int, sigma_e: float, sigma_z: float) -> None:
        self._tau, self._weight = _tau(C, sigma_z)
        self._ratio = D * sigma_e**2 / N
        self._scatter = (C - 1) * sigma_e**2
        self._m_edge = _lowest(self.position, -1 / (self._ratio * float(self._tau.max())))
        self.edge = self.position(self._m_edge)
        self.threshold = 1 / (abs(self._m_edge) * self.r(self._m_edge))

    def r(self, m: float) -> float:
        """E Σ τ/(1 + (Dσ_E²/N) m τ)/(C − 1)."""
        return float(self._weight * np.sum(self._tau / (1 + self._ratio * m * self._tau)))

    def position(self, m: float) -> float:
        """λ(m)."""
        return -1 / m + self._scatter * self.r(m)

    def pole_of(self, strength: float) -> float | None:
        """The m of the outlier of this strength; None where it stays in the bulk."""
        if strength <= self.threshold:
            return None
        return float(
            brentq(
                lambda m: strength * -m * self.r(m) - 1,
                self._m_edge,
                self._m_edge * 1e-12,
                xtol=abs(self._m_edge) * 1e-14,
            )
        )


def _lowest(position: Callable[[float], float], pole: float) -> float:
    """The m between the pole and 0 at which the position is lowest; on a logarithmic scale, as m may be tiny."""
    found = minimize_scalar(
        lambda t: position(pole / (1 + math.exp(t))), bounds=(-30, 40), method="bounded", options={"xatol": 1e-10}
    )
    return pole / (1 + math.exp(float(found.x)))


@lru_cache(maxsize=1)  # prediction and scatter of one model ask for the same
def _tau(C: int, sigma_z: float) -> tuple[Array, float]:
    """Eigenvalues of diag p − p pᵀ over many p, and the weight that makes a sum over them Σ_k/(C − 1)."""
    draws = max(200, DRAWS // C**2) if C > 2 else DRAWS // 4
    p = softmax(sigma_z * np.random.default_rng(0).standard_normal((draws, C)))
    matrices = -p[:, :, None] * p[:, None, :]
    matrices[:, np.arange(C), np.arange(C)] += p
    tau = np.maximum(np.linalg.eigvalsh(matrices), 0).ravel()
    return tau, 1 / (draws * (C - 1))
