"""How much of the gradient lies in the span of the top eigenvectors, beside what chance alone would give."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from distlandscape.objective import Objective
from distlandscape.record.run import Stage
from distlandscape.runtime import GaussNewton
from distlandscape.spectral.subspace import confinement
from distlandscape.spectral.trace import probe_moments


def confinement_sizes(objective: Objective) -> dict[str, int]:
    """Numbers of eigenvectors looked at, by label; none where there are no classes."""
    if not objective.classification:
        return {}
    classes = objective.outputs
    sizes = {"C-1": classes - 1, "C": classes, "10": 10}
    return {label: k for label, k in sizes.items() if k <= objective.parameters}


def gauss_newton_share(operator: GaussNewton, V_kP: Tensor, probes: int, seed: int) -> Stage:
    """v_iᵀ G v_i of each row, and Tr G with its standard error; the vectors and probes share passes.

    Labels sampled from the model give gradients with E g gᵀ = G/N, so Σ_{i≤k} v_iᵀGv_i / Tr G is the confinement
    that sampled labels alone would show.
    """
    vectors = [operator.space.from_numpy(v.numpy()) for v in V_kP]
    products = operator.apply(vectors)
    heads = [float(operator.space.dots([v], [g])[0, 0]) for v, g in zip(vectors, products, strict=True)]
    rest, _ = probe_moments(operator, vectors, probes, seed)
    stderr = float(np.std(rest, ddof=1) / np.sqrt(len(rest)))
    return Stage({}, {"heads": heads, "trace": float(sum(heads) + rest.mean()), "trace_stderr": stderr})


def confinement_rows(
    checkpoint: int, step: int, sizes: dict[str, int], gradient: Tensor, V_kP: Tensor, share: Stage
) -> list[dict[str, Any]]:
    """One row a size: the fraction |V g|²/|g|² beside its two nulls."""
    rows = []
    for label, k in sizes.items():
        null = sum(share.values["heads"][:k]) / share.values["trace"]
        rows.append(
            {
                "checkpoint": checkpoint,
                "step": step,
                "k": k,
                "label": label,
                "fraction": confinement(gradient, V_kP[:k]),
                "null_uniform": k / len(gradient),
                "null_share": null,
                "null_share_stderr": null * share.values["trace_stderr"] / share.values["trace"],
            }
        )
    return rows
