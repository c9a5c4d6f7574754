"""Fisher products (1/N) Σ E_y[∇ℓ ∇ℓᵀ] v, y the model's own labels, one sample of them, or the data's.

Shapes: n samples, C logits, K vectors, P parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.curvature.jacobian import Bend, Sandwich
from distlandscape.curvature.labels import sampled_targets
from distlandscape.curvature.residual import loss_slope
from distlandscape.objective import Objective

LABELS = ("model", "data", "sampled")


def score_covariance(objective: Objective, y: Tensor, first: int, z: Tensor, labels: str, seed: int) -> Bend:
    """The map u ↦ E_y[s sᵀ] u of each sample, s = ∂ℓ/∂z.

    Args:
        objective: its loss is −log of the model's likelihood, unless ``labels`` is "data".
        y: targets of the data.
        first: index of the first sample.
        z: logits (n, C).
        labels: "model": exact expectation over the model's own distribution; "sampled": one draw from it a sample;
            "data": the targets of the data (the empirical Fisher).
        seed: of the draws, which depend on it, the sample's index and its logits alone.
    """
    if labels == "model":
        return lambda jv: _expected(objective, z, jv)
    slope = loss_slope(objective, z, y) if labels == "data" else _score(objective, z, first, seed)
    return lambda jv: slope * (slope * jv).sum(1, keepdim=True)


def _expected(objective: Objective, z: Tensor, jv: Tensor) -> Tensor:
    """E_y[s sᵀ] Jv of each sample, s = ∂ℓ/∂z = p − e_y, or 2(z − y)."""
    if objective.likelihood == "normal":
        return 2 * jv  # E[(z − y)(z − y)ᵀ] = ½ I
    p = z.softmax(1)
    return p * (jv - (p * jv).sum(1, keepdim=True))  # Σ_k p_k (p − e_k)(p − e_k)ᵀ = diag p − ppᵀ


def _score(objective: Objective, z: Tensor, first: int, seed: int) -> Tensor:
    """∂ℓ/∂z at targets drawn from the model; label smoothing has no part in its likelihood."""
    y = sampled_targets(objective.likelihood, z, first, seed)
    if objective.likelihood == "normal":
        return 2 * (z - y)
    return z.softmax(1) - torch.nn.functional.one_hot(y, z.shape[1]).to(z.dtype)


fisher_products = Sandwich(score_covariance)
"""Sum over the micro-batch of E_y[∇ℓ ∇ℓᵀ] v for each row v of (K, P); takes ``labels`` and ``seed``."""
