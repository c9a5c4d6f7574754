"""How logit gradients cluster: lengths, and mean cosines over all pairs of samples, exactly, from sums of unit vectors.

Shapes: N samples, C classes (logits), P parameters. Reference: Fort & Ganguli 2019, arXiv:1910.05929, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.curvature.clustering_sums import clustering_sums, freezing_sums, logit_rows
from distlandscape.objective import Objective
from distlandscape.runtime.classes import class_counts
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.runner import Runner

Array = npt.NDArray[np.float64]
SUMS_BYTES = 2**27  # float64 sums of one pass; a worker holds one such array a level of its block tree


@dataclass(frozen=True, eq=False)
class Clustering:
    """Mean cosines between logit gradients ∇z_k^μ, ∇z_l^ν, over pairs μ ≠ ν unless said otherwise, and their lengths.

    Attributes:
        q_slsc: same logit k, both samples of true class k; the mean over all such pairs.
        q_sldc: same logit, samples of different classes.
        q_sl: same logit, any pair of samples.
        q_dl: different logits k ≠ l.
        q_dl_same_sample: different logits of one sample, μ = ν.
        by_class: (C, C) row k, column c: same logit k, both samples of class c; its diagonal makes up q_slsc.
        by_logits: (C, C) row k, column l: logits k and l, any pair of samples; for k ≠ l that includes μ = ν.
        counts: (C, C) row k, column c: samples of class c whose gradient of logit k is not 0.
        lengths: (C, C) row k, column c: mean |∇z_k^μ| over them.
        length_sd: (C, C) their standard deviation.
        length_mean: over all samples and logits.
        length_sd_all: standard deviation over all samples and logits.
        passes: passes over the data; together C forward and backward passes of every sample.
    """

    q_slsc: float
    q_sldc: float
    q_sl: float
    q_dl: float
    q_dl_same_sample: float
    by_class: Array
    by_logits: Array
    counts: Array
    lengths: Array
    length_sd: Array
    length_mean: float
    length_sd_all: float
    passes: int


@dataclass(frozen=True)
class Freezing:
    """How far the softmax has moved to the corners of the simplex; means over the samples.

    Attributes:
        loss: mean loss without weight decay.
        accuracy: share of correct answers.
        sigma_z: root of the mean variance over the C logits of a sample (divisor C − 1).
        sum_p2: E Σ_k p_k², 1/C when all are equal, 1 when frozen.
        entropy: of p, in nats.
    """

    loss: float
    accuracy: float
    sigma_z: float
    sum_p2: float
    entropy: float


def clustering(objective: Objective, pool: Runner | None = None) -> Clustering:
    """Clustering statistics over all samples, exactly: no pair is formed.

    With unit vectors u, Σ_{μ≠ν} u_μ·u_ν = |Σ u|² − n. Cost: one forward and C backward passes of every sample, in
    passes over the data that take as many classes at a time as ``SUMS_BYTES`` allows. Memory of the driver: 8 (C + 1) P
    bytes, of a worker (Y C P) float64 sums a level of its block tree, Y the classes of a pass.

    Raises:
        InputError: the loss is not cross_entropy, or a class has fewer than two samples.
    """
    runner = pool if pool is not None else LocalRunner()
    class_counts(objective)
    C, P = objective.outputs, objective.parameters
    together = max(1, min(C, SUMS_BYTES // (8 * C * P)))
    by_logit_CP = np.zeros((C, P))
    squared_CC, lengths_CC3, same = np.zeros((C, C)), np.zeros((C, C, 3)), np.zeros(2)
    passes = 0
    for start in range(0, C, together):
        classes = list(range(start, min(start + together, C)))
        units_YCP, lengths_YC3, part = runner.map_blocks(objective, clustering_sums, (classes,))
        by_logit_CP += units_YCP.sum(0)
        squared_CC[:, classes] = np.square(units_YCP).sum(2).T
        lengths_CC3[:, classes] = lengths_YC3.transpose(1, 0, 2)
        same += part
        passes += 1
    return _statistics(by_logit_CP, squared_CC, lengths_CC3, same, passes)


def _statistics(by_logit_CP: Array, squared_CC: Array, lengths_CC3: Array, same: Array, passes: int) -> Clustering:
    """Means over pairs from |Σ u|² of each (logit, class), the sums of each logit, and pairs within a sample."""
    n_CC, sums_CC, squares_CC = (lengths_CC3[:, :, i] for i in range(3))
    n_C, total = n_CC.sum(1), float(n_CC.sum())
    gram_CC = by_logit_CP @ by_logit_CP.T
    own = np.diag(squared_CC)
    own_n = np.diag(n_CC)
    pairs_CC = n_CC * (n_CC - 1)
    logit_pairs_CC = np.outer(n_C, n_C)
    between = gram_CC.sum() - np.trace(gram_CC) - same[0]
    mean = float(sums_CC.sum()) / total
    return Clustering(
        q_slsc=_ratio(float((own - own_n).sum()), float((own_n * (own_n - 1)).sum())),
        q_sldc=_ratio(float(np.trace(gram_CC) - squared_CC.sum()), float(np.square(n_C).sum() - np.square(n_CC).sum())),
        q_sl=_ratio(float(np.trace(gram_CC) - total), float((n_C * (n_C - 1)).sum())),
        q_dl=_ratio(float(between), float(logit_pairs_CC.sum() - np.trace(logit_pairs_CC) - same[1])),
        q_dl_same_sample=_ratio(float(same[0]), float(same[1])),
        by_class=_ratios(squared_CC - n_CC, pairs_CC),
        by_logits=_ratios(gram_CC - np.diag(n_C), logit_pairs_CC - np.diag(n_C)),
        counts=n_CC,
        lengths=_ratios(sums_CC, n_CC),
        length_sd=_deviation(sums_CC, squares_CC, n_CC),
        length_mean=mean,
        length_sd_all=float(np.sqrt(max(0.0, float(squares_CC.sum()) / total - mean**2))),
        passes=passes,
    )


def _ratio(total: float, count: float) -> float:
    return total / count if count else float("nan")


def _ratios(totals: Array, counts: Array) -> Array:
    means: Array = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    return means


def _deviation(sums: Array, squares: Array, counts: Array) -> Array:
    variance: Array = _ratios(squares, counts) - _ratios(sums, counts) ** 2
    return np.sqrt(np.maximum(0.0, variance))


def freezing(objective: Objective, pool: Runner | None = None) -> Freezing:
    """Moments of the softmax over all samples; one forward pass.

    Raises:
        InputError: the loss is not cross_entropy, or a class has fewer than two samples.
    """
    class_counts(objective)
    runner = pool if pool is not None else LocalRunner()
    (sums,) = runner.map_blocks(objective, freezing_sums)
    loss, accuracy, variance, sum_p2, entropy = (float(v) for v in sums / objective.samples)
    return Freezing(loss, accuracy, float(np.sqrt(variance)), sum_p2, entropy)


def first_logits(objective: Objective, count: int, pool: Runner | None = None) -> Array:
    """(count, C) logits of the first samples; a pass that computes no others."""
    runner = pool if pool is not None else LocalRunner()
    (rows,) = runner.map_blocks(objective, logit_rows, (0, min(count, objective.samples)))
    return rows
