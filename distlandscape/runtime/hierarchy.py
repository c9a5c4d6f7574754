"""Three levels of class structure in the Gauss-Newton term: G = G0 + G1 + G2 + G3 (Papyan 2020, arXiv:2008.11865).

With μ_{cc'} the mean over class c of δ_{i,c'}, μ_c the mean of μ_{cc'} over c' ≠ c, ν_{cc'} = μ_{cc'} − μ_c and weights
w_c = n_c/N (1/C for balanced classes): G0 = Σ w_c μ_cc μ_ccᵀ, G1 = (C−1) Σ w_c μ_c μ_cᵀ, G2 = Σ w_c Σ_{c'≠c} ννᵀ, and
G3 is the spread of single samples around their means. Weight decay has no part in G here.

Shapes: N samples, C classes, K vectors, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distlandscape.curvature.class_levels import class_forms, class_pulls, delta_sums, level_sums
from distlandscape.objective import Objective
from distlandscape.runtime.classes import class_counts
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.runner import Runner
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.space import Vectors
from distlandscape.spectral.trace import PROBE

Array = npt.NDArray[np.float64]
SUMS_BYTES = 2**26  # float64 sums of one pass; a worker holds one such array a level of its block tree
EXACT_ENTRIES = 2**27  # C² P up to which all C² means are formed, class by class; beyond, probes estimate two traces
GRAM_COLUMNS = 2**16  # parameters multiplied at once, in float64


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """Means of δ over the samples of each class.

    Attributes:
        counts: (C,) samples of each class.
        own: (C, P) μ_cc, in the objective's dtype.
        across: (C, P) μ_c, the mean of μ_{cc'} over c' ≠ c.
        passes: passes over the data; together two forward and two backward passes of every sample.
    """

    counts: npt.NDArray[np.int64]
    own: npt.NDArray[Any]
    across: npt.NDArray[Any]
    passes: int

    @property
    def own_weights(self) -> Array:
        """(C,) w_c, the weight of each μ_cc in G0."""
        weights: Array = self.counts / self.counts.sum()
        return weights

    @property
    def across_weights(self) -> Array:
        """(C,) (C − 1) w_c, the weight of each μ_c in G1."""
        return (len(self.counts) - 1) * self.own_weights


@dataclass(frozen=True)
class LevelTraces:
    """Traces of the four levels and of G; a standard error of 0 marks what is exact.

    Attributes:
        levels: Tr G0, Tr G1, Tr G2, Tr G3.
        stderr: their standard errors.
        total: Tr G, their sum.
        total_stderr: its standard error.
        probes: sign probes used; 0 where all is exact.
        passes: passes over the data.
    """

    levels: tuple[float, float, float, float]
    stderr: tuple[float, float, float, float]
    total: float
    total_stderr: float
    probes: int
    passes: int


def class_means(objective: Objective, pool: Runner | None = None) -> ClassMeans:
    """Means of each class, streamed class by class: memory of the driver 2 C P entries of the objective's dtype.

    Raises:
        InputError: see ``class_counts``.
    """
    runner = pool if pool is not None else LocalRunner()
    counts, C, P = class_counts(objective), objective.outputs, objective.parameters
    dtype = torch.empty(0, dtype=objective.dtype, device="cpu").numpy().dtype
    own, across = np.empty((C, P), dtype), np.empty((C, P), dtype)
    passes = 0
    for classes in _groups(C, 16 * P):
        (sums_Y2P,) = runner.map_blocks(objective, level_sums, (classes,))
        own[classes] = sums_Y2P[:, 0] / counts[classes, None]
        across[classes] = sums_Y2P[:, 1] / ((C - 1) * counts[classes, None])
        passes += 1
    return ClassMeans(counts, own, across, passes)


def gram(A_KP: npt.NDArray[Any], B_LP: npt.NDArray[Any]) -> Array:
    """(K, L) inner products of rows in float64, without a float64 copy of the whole."""
    total: Array = np.zeros((len(A_KP), len(B_LP)))
    for start in range(0, A_KP.shape[1], GRAM_COLUMNS):
        part = slice(start, start + GRAM_COLUMNS)
        total += A_KP[:, part].astype(np.float64) @ B_LP[:, part].astype(np.float64).T
    return total


def weighted_eigenvalues(means_CP: npt.NDArray[Any], weights_C: Array) -> Array:
    """(C,) non-zero eigenvalues, descending, of Σ w_c m_c m_cᵀ: those of the C×C matrix √w_c √w_c' m_c·m_c'."""
    root: Array = np.sqrt(weights_C)
    values = np.linalg.eigvalsh(root[:, None] * gram(means_CP, means_CP) * root)[::-1]
    clipped: Array = np.maximum(values, 0.0)
    return clipped


def mean_overlaps(vectors_KP: npt.NDArray[Any], means_CP: npt.NDArray[Any]) -> tuple[Array, Array]:
    """(K, C) squared cosine of each unit vector with each mean, and (K,) its squared length within their span."""
    inner_KC, gram_CC = gram(vectors_KP, means_CP), gram(means_CP, means_CP)
    squared_C = np.diag(gram_CC)
    cosines = np.divide(inner_KC**2, squared_C, out=np.zeros_like(inner_KC), where=squared_C > 0)
    values, basis = np.linalg.eigh(gram_CC)
    kept = values > values[-1] * len(values) * np.finfo(means_CP.dtype).eps
    span_K = ((inner_KC @ basis[:, kept]) ** 2 / values[kept]).sum(1)
    return cosines, span_K


class BetweenLogits:
    """G2 = Σ_c w_c Σ_{c'≠c} ν_{cc'} ν_{cc'}ᵀ as an operator on vectors in the driver; no C² vectors are formed.

    A product takes two passes: the C×C table of ν_{cc'}·v, and its combination of the ν. Of rank C (C − 2) at most.

    Raises:
        InputError: see ``class_counts``.
    """

    def __init__(self, objective: Objective, pool: Runner | None = None) -> None:
        self._objective = objective
        self._runner: Runner = pool if pool is not None else LocalRunner()
        self._counts = class_counts(objective)
        self.space = TensorSpace(objective.parameters, objective.dtype)
        self.shape = (objective.parameters, objective.parameters)
        self.passes = 0

    def apply(self, vectors: Vectors) -> Tensor:
        """Products with K rows (K, P), as rows; two passes."""
        rows = torch.stack(list(vectors)) if not isinstance(vectors, Tensor) else vectors
        V_KP = rows.to(self._objective.dtype).cpu().contiguous().numpy()
        tables_KCC, _ = self._runner.map_blocks(self._objective, class_forms, (V_KP,))
        b_KCC = between(tables_KCC / self._counts[:, None])
        (sums_KP,) = self._runner.map_blocks(self._objective, class_pulls, (b_KCC,))
        self.passes += 2
        return torch.from_numpy(sums_KP / self._objective.samples).to(self._objective.dtype)


def between(tables_KCC: Array) -> Array:
    """μ_{cc'}·v to ν_{cc'}·v: off the diagonal, less the mean of the row there; 0 on the diagonal."""
    C = tables_KCC.shape[-1]
    off = 1.0 - np.eye(C)
    mean_KC1 = (tables_KCC * off).sum(-1, keepdims=True) / (C - 1)
    result: Array = (tables_KCC - mean_KC1) * off
    return result


def level_traces(
    objective: Objective, means: ClassMeans, pool: Runner | None = None, *, probes: int = 32, seed: int = 0
) -> LevelTraces:
    """Traces of G0…G3: exact where C² P is at most 2²⁷, else those of G2 and G3 from sign probes (Hutchinson 1990).

    Exact costs C backward passes of every sample, in passes that take as many classes at a time as ``SUMS_BYTES``
    allows; a probe costs two backward passes of every sample, and shares its pass over the data with others.
    """
    runner = pool if pool is not None else LocalRunner()
    zero, one = (
        float(weights @ np.array([gram(m[None], m[None])[0, 0] for m in vectors]))
        for weights, vectors in ((means.own_weights, means.own), (means.across_weights, means.across))
    )
    C, P = objective.outputs, objective.parameters
    if C * C * P <= EXACT_ENTRIES:
        return _exact(objective, means, runner, zero, one)
    return _probed(objective, means, runner, zero, one, probes, seed)


def _exact(objective: Objective, means: ClassMeans, runner: Runner, zero: float, one: float) -> LevelTraces:
    C, P = objective.outputs, objective.parameters
    below = squares = 0.0  # Tr (G0 + G1 + G2), and N Tr G
    passes = 0
    for classes in _groups(C, 8 * C * P):
        sums_YCP, part = runner.map_blocks(objective, delta_sums, (classes,))
        counts = means.counts[classes].astype(np.float64)
        below += float((np.square(sums_YCP).sum((1, 2)) / counts).sum()) / objective.samples  # w_c |Σδ|²/n_c²
        squares += float(part[0])
        passes += 1
    total = squares / objective.samples
    return LevelTraces((zero, one, below - zero - one, total - below), (0.0, 0.0, 0.0, 0.0), total, 0.0, 0, passes)


def _probed(
    objective: Objective, means: ClassMeans, runner: Runner, zero: float, one: float, probes: int, seed: int
) -> LevelTraces:
    space = TensorSpace(objective.parameters, objective.dtype)
    together = max(1, SUMS_BYTES // (8 * objective.parameters))
    two, three, passes = [], [], 0
    for start in range(0, probes, together):
        signs = [space.random(seed, PROBE + probe, "sign") for probe in range(start, min(start + together, probes))]
        tables_KCC, squares_K = runner.map_blocks(objective, class_forms, (torch.stack(signs).numpy(),))
        tables_KCC = tables_KCC / means.counts[:, None]
        below_K = np.einsum("c,kcd->k", means.own_weights, tables_KCC**2)  # vᵀ(G0 + G1 + G2)v
        two.append(np.einsum("c,kcd->k", means.own_weights, between(tables_KCC) ** 2))
        three.append(squares_K / objective.samples - below_K)
        passes += 1
    draws = np.concatenate(two), np.concatenate(three)
    (g2, e2), (g3, e3), (rest, error) = (
        (float(v.mean()), float(v.std(ddof=1) / np.sqrt(probes))) for v in (*draws, draws[0] + draws[1])
    )
    return LevelTraces((zero, one, g2, g3), (0.0, 0.0, e2, e3), zero + one + rest, error, probes, passes)


def _groups(C: int, row_bytes: int) -> list[list[int]]:
    """The classes, as many at a time as their sums allow."""
    together = max(1, SUMS_BYTES // row_bytes)
    return [list(range(start, min(start + together, C))) for start in range(0, C, together)]
