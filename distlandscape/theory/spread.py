"""How far one draw of the random model scatters around its prediction, without making the draw.

A draw costs N·C·D numbers; this costs N·C + C². The outliers come from the C × C matrix M^½ (c cᵀ) M^½, with M the mean
of diag p − p pᵀ over N draws of p, each moved to where the bulk lifts it; the gradient of labels sampled from p has
covariance G/N, so its components along the eigenvectors are √λ_i times independent normals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.theory.prediction import Bulk
from distlandscape.theory.random_model import RandomModel
from distlandscape.theory.softmax import softmax, softmax_moments

Array = npt.NDArray[np.float64]
GRID = 24  # strengths at which the outlier's place is solved for; between them it is interpolated


@dataclass(frozen=True, eq=False)
class Spread:
    """The C − 1 leading eigenvalues and the confinement of each draw.

    Attributes:
        leading: (draws, C − 1) eigenvalues, descending; those that stay in the bulk stand at its edge.
        confinement: (draws,) |V g|²/|g|² of the C − 1 leading eigenvectors, for labels sampled from p.
    """

    leading: Array
    confinement: Array

    @property
    def largest(self) -> Array:
        """(draws,) largest eigenvalue."""
        return self.leading[:, 0]


def model_spread(model: RandomModel, draws: int = 200) -> Spread:
    """Leading eigenvalues and confinement of so many draws of the model.

    Raises:
        InputError: σ_d other than 0, for which there is no closed form, or fewer than two draws.
    """
    if model.sigma_d:
        raise InputError("no closed form is known for sigma_d other than 0; use sample(), or set sigma_d=0")
    if draws < 2:
        raise InputError(f"draws={draws}: a spread needs at least 2; raise it")
    C, D = model.classes, model.dim
    S = softmax_moments(C, model.sigma_z).s
    mean_tau = (1 - S) / (C - 1)
    generator = np.random.default_rng(model.seed)
    strengths = np.stack([_strengths(model, mean_tau, generator) for _ in range(draws)])
    leading = _positions(model, strengths, mean_tau)
    scatter = (1 - S) * D * model.sigma_e**2
    rest = np.maximum(mean_tau * strengths.sum(1) + scatter - leading.sum(1), 0.0)
    inside = (leading * np.square(generator.standard_normal(leading.shape))).sum(1)
    # The rest is spread over so many directions that its sum hardly scatters.
    return Spread(leading, inside / np.maximum(inside + rest, np.finfo(float).tiny))


def _strengths(model: RandomModel, mean_tau: float, generator: np.random.Generator) -> Array:
    """(C − 1,) eigenvalues of M^½ (c cᵀ) M^½ / a, descending: D σ_c² each, on average."""
    C, N, D = model.classes, model.examples, model.dim
    p_NC = softmax(model.sigma_z * generator.standard_normal((N, C)))
    M = np.diag(p_NC.mean(0)) - p_NC.T @ p_NC / N
    values, vectors = np.linalg.eigh(M)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    found = np.linalg.eigvalsh(root @ _gram(C, D, generator) @ root)[::-1]
    return np.maximum(model.sigma_c**2 * found[: C - 1] / mean_tau, 0)


def _gram(C: int, D: int, generator: np.random.Generator) -> Array:
    """X Xᵀ of a C × D matrix of normals, by Bartlett's triangle: its C² numbers suffice."""
    if D < C:
        X = generator.standard_normal((C, D))
        return X @ X.T
    L = np.tril(generator.standard_normal((C, C)), -1)
    L[np.arange(C), np.arange(C)] = np.sqrt(generator.chisquare(D - np.arange(C)))
    return L @ L.T


def _positions(model: RandomModel, strengths: Array, mean_tau: float) -> Array:
    """Where the bulk lifts outliers of these strengths to."""
    if model.sigma_e == 0:
        return strengths * mean_tau
    bulk = Bulk(model.classes, model.examples, model.dim, model.sigma_e, model.sigma_z)
    above = strengths[strengths > bulk.threshold]
    if not len(above):
        return np.full_like(strengths, bulk.edge)
    grid = np.geomspace(above.min(), above.max() * (1 + 1e-12), GRID)
    places = [bulk.edge if (m := bulk.pole_of(float(s))) is None else bulk.position(m) for s in grid]
    return np.where(strengths > bulk.threshold, np.interp(strengths, grid, places), bulk.edge)
