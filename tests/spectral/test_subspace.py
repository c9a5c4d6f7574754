"""Overlap and confinement against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distlandscape.errors import InputError
from distlandscape.spectral import confinement, overlap


def rows(k: int, dim: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    normal = np.random.default_rng(seed).standard_normal((dim, k))
    return torch.from_numpy(np.linalg.qr(normal)[0].T.copy()).to(dtype)


# The inner product of unit vectors of length n is off by n·eps/2 at most, in whatever order it is added up. That of k²
# of them moves Σ c²/k by 2·Σ|c|·(n·eps/2)/k ≤ 2·√(k²·k)·(n·eps/2)/k = √k·n·eps; two sides are compared, and a rotation
# of the rows rounds once more: 4·√k·n·eps with k = 4, n = 50.
ROUNDING = 4 * np.sqrt(4) * 50 * np.finfo(np.float64).eps


def test_overlap_is_invariant_to_the_choice_of_basis() -> None:
    V, W, R = rows(4, 50, 0), rows(4, 50, 1), rows(4, 4, 2)
    assert overlap(V, V) == pytest.approx(1, abs=ROUNDING)
    assert overlap(V, R @ V) == pytest.approx(1, abs=ROUNDING)
    assert overlap(R @ V, W) == pytest.approx(overlap(V, W), abs=ROUNDING)
    assert overlap(V, W) == pytest.approx(overlap(W, V), abs=ROUNDING)  # V Wᵀ and W Vᵀ are added up in other orders


def test_overlap_is_the_mean_squared_cosine_of_the_principal_angles() -> None:
    V, W = rows(4, 9, 0), rows(4, 9, 1)
    cosines = np.linalg.svd((V @ W.T).numpy(), compute_uv=False)
    assert overlap(V, W) == pytest.approx(np.mean(cosines**2), abs=1e-14)


def test_random_subspaces_overlap_by_k_over_p() -> None:
    k, P = 5, 60
    found = [overlap(rows(k, P, 2 * s), rows(k, P, 2 * s + 1)) for s in range(200)]
    assert np.mean(found) == pytest.approx(k / P, abs=4 * np.std(found) / np.sqrt(200))


@pytest.mark.parametrize("shapes", [((2, 9), (3, 9)), ((2, 9), (2, 8)), ((9,), (9,))])
def test_overlap_of_unequal_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(InputError, match="equal shape"):
        overlap(torch.ones(shapes[0]), torch.ones(shapes[1]))


def test_confinement() -> None:
    V = rows(3, 40, 0)
    inside, outside = 2 * V[0] - 3 * V[2], rows(4, 40, 0)[3]
    assert confinement(inside, V) == pytest.approx(1, abs=1e-14)
    assert confinement(outside - V.T @ (V @ outside), V) == pytest.approx(0, abs=1e-14)
    assert confinement(1e-30 * inside, V) == pytest.approx(1, abs=1e-14)
    g = torch.from_numpy(np.random.default_rng(5).standard_normal(40))
    assert confinement(g, V) == pytest.approx(float(((V @ g) ** 2).sum() / (g @ g)), abs=1e-14)
    assert np.isnan(confinement(torch.zeros(40), V))


def test_float32_rows_are_summed_in_float64() -> None:
    V = rows(3, 4000, 0, torch.float32)
    assert overlap(V, V) == pytest.approx(1, abs=1e-6)
    assert confinement(V[1], V) == pytest.approx(1, abs=1e-6)
