"""Curvature in planes against dense matrices, and its trace and norm against the exact ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.errors import InputError
from distlandscape.spectral import plane_curvature, top_eigenpairs
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.plane import PLANE
from distlandscape.spectral.probes import probe_entries


class Dense:
    """A dense symmetric matrix as an operator."""

    def __init__(self, matrix):
        self.matrix = torch.from_numpy(matrix)
        self.space = TensorSpace(len(matrix), torch.float64)

    def apply(self, vectors):
        rows = torch.stack(list(vectors)) if not isinstance(vectors, torch.Tensor) else vectors
        return rows @ self.matrix


def symmetric(P, seed):
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((P, P)))[0]
    return Q * random.normal(0.3, 1, P) @ Q.T


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 40))
def test_leading_blocks_are_planes(seed, plane):
    """A by QR of the same vectors: eigenvalues of AᵀHA do not depend on the basis of the plane."""
    H = symmetric(40, seed)
    found = plane_curvature(Dense(H), plane, seed)
    X = np.stack([probe_entries(seed, PLANE + i, "normal", 0, 40) for i in range(plane)])
    for d in {2, plane}:
        A = np.linalg.qr(X[:d].T)[0]
        np.testing.assert_allclose(found.curvatures(d), np.linalg.eigvalsh(A.T @ H @ A), atol=1e-9)
    assert found.asymmetry < 1e-9


def test_whole_space_is_the_spectrum():
    H = symmetric(12, 0)
    np.testing.assert_allclose(plane_curvature(Dense(H), 12).curvatures(12), np.linalg.eigvalsh(H), atol=1e-9)


@pytest.mark.parametrize("steps", [0, 9, 60], ids=["nothing known", "unconverged pairs", "converged pairs"])
def test_trace_norm_and_ratio_cover_the_truth(steps):
    """Over many seeds the errors, in their standard errors, have a mean square near 1; a naive ratio is the same."""
    H = symmetric(60, 3)
    known = top_eigenpairs(Dense(H), (4, 4), 1e-8, "BE", max_steps=steps) if steps else None
    assert known is None or (known.residuals < 1e-6).all() == (steps == 60)
    exact = {"trace": np.trace(H), "frobenius": np.linalg.norm(H)}
    exact["ratio"] = exact["trace"] / exact["frobenius"]
    runs = [plane_curvature(Dense(H), 40, seed, known=known) for seed in range(150)]
    for name, truth in exact.items():
        errors = [(getattr(r, name).value - truth) / getattr(r, name).stderr for r in runs]
        assert 0.6 < np.mean(np.square(errors)) < 1.6
        assert abs(np.mean(errors)) < 4 / np.sqrt(len(runs))
    assert runs[0].ratio.value == pytest.approx(runs[0].trace.value / runs[0].frobenius.value)


def test_known_pairs_leave_only_the_rest_to_chance():
    """Errors are those of the rest; of a matrix that the pairs make up whole there are none. Curvatures stay."""
    H = symmetric(60, 3)
    values, V = np.linalg.eigh(H)
    values[4:-4] = 0
    low_rank = (V * values) @ V.T
    known = top_eigenpairs(Dense(low_rank), (4, 4), 1e-10, "BE")
    plain, found = plane_curvature(Dense(low_rank), 20), plane_curvature(Dense(low_rank), 20, known=known)
    assert found.trace.value == pytest.approx(values.sum())
    assert found.frobenius.value == pytest.approx(np.linalg.norm(values))
    assert found.ratio.stderr < 1e-9 < 0.05 < plain.ratio.stderr
    np.testing.assert_array_equal(found.matrix, plain.matrix)
    outer = top_eigenpairs(Dense(H), (4, 4), 1e-8, "BE")
    rest = np.linalg.norm(H - low_rank) / np.linalg.norm(H)
    ratios = [
        plane_curvature(Dense(H), 40, seed, known=outer).trace.stderr / plane_curvature(Dense(H), 40, seed).trace.stderr
        for seed in range(20)
    ]
    assert np.mean(ratios) == pytest.approx(rest, rel=0.1)


def test_nothing_to_see():
    found = plane_curvature(Dense(np.zeros((10, 10))), 4)
    assert found.frobenius.value == 0
    assert np.isnan(found.ratio.value)
    assert (found.curvatures(4) == 0).all()


@pytest.mark.parametrize("plane", [1, 11])
def test_sizes_that_do_not_fit(plane):
    with pytest.raises(InputError, match=f"plane={plane}"):
        plane_curvature(Dense(np.eye(10)), plane)
