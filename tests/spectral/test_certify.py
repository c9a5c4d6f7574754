"""The trust record: what it says of a good run, and what it detects."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distlandscape.spectral import top_eigenpairs
from distlandscape.spectral.certify import certify
from tests.spectral.helpers import DTYPES, Array, Dense, eps, rotated, run_lanczos, spaces

A = rotated(np.concatenate([[9.0, 8.0, 5.0], np.linspace(-1, 1, 250)]))


class Noisy(Dense):
    """Adds noise of relative size 1e-3 to every product, never the same."""

    def product(self, v: Array) -> Array:
        noise = np.random.default_rng(self.passes).standard_normal(len(v))
        return self.A @ v + 1e-3 * np.linalg.norm(self.A, 2) * noise / np.linalg.norm(noise)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_good_run_is_certified_at_rounding_level(dtype: torch.dtype) -> None:
    records = []
    for space in spaces(len(A), dtype).values():
        trust = certify(run_lanczos(Dense(A, space), 40))
        assert 0 < trust.relation <= 4 * eps(dtype)
        assert 0 < trust.orthogonality <= 4 * eps(dtype)
        assert 0 < trust.symmetry <= 4 * eps(dtype)
        assert abs(trust.norm - 9) <= 1e-5
        records.append(trust)
    assert records[0] == records[1] == records[2]


def test_the_certificate_is_the_relation_on_a_random_combination() -> None:
    """Naive twin: with locked vectors and a large residual, computed from the dense matrices."""
    V = np.linalg.qr(np.random.default_rng(1).standard_normal((len(A), 3)))[0].T
    operator = Noisy(A)
    run = run_lanczos(operator, 12, locked=[operator.space.from_numpy(v) for v in V])
    trust = certify(run)
    E = []  # the noise of each product is the whole defect of its column; the certificate adds its own
    for j in range(13):
        noise = np.random.default_rng(j + 1).standard_normal(len(A))
        E.append(1e-3 * np.linalg.norm(A, 2) * noise / np.linalg.norm(noise))
    from distlandscape.spectral.certify import CERTIFICATE
    from distlandscape.spectral.probes import probe_entries

    c = probe_entries(0, CERTIFICATE, "normal", 0, 12)
    c /= np.linalg.norm(c)
    # (H + noise)(Qc) − (QT + r eᵀ)c, where QT + r eᵀ = HQ + E but for the parts of T that symmetry fills in.
    difference = E[12] - np.stack(E[:12], 1) @ c
    assert abs(trust.relation * trust.norm - np.linalg.norm(difference)) <= 0.3 * np.linalg.norm(difference)


def test_an_operator_that_does_not_repeat_itself_is_detected() -> None:
    trust = top_eigenpairs(Noisy(A), 3, 1e-6, max_steps=40).trust
    assert 3e-4 < trust.relation < 1e-2
    trust = top_eigenpairs(Dense(A), 3, 1e-6, max_steps=40).trust
    assert trust.relation < 1e-14


def test_residuals_reported_for_a_noisy_operator_include_the_noise() -> None:
    pairs = top_eigenpairs(Noisy(A), 3, 1e-6, max_steps=60)
    V = pairs.eigenvectors.numpy()
    true = np.linalg.norm(V @ A - pairs.eigenvalues[:, None] * V, axis=1)
    assert (true <= 3 * pairs.residuals).all()  # the noise itself is measured on one combination, not on each pair
    assert not pairs.converged.any()
    assert "0 of 3 pairs converged" in pairs.status


@pytest.mark.parametrize("size", [1e-2, 1e-6])
def test_an_antisymmetric_part_is_detected(size: float) -> None:
    G = np.random.default_rng(0).standard_normal(A.shape)
    B = (G - G.T) / np.linalg.norm(G - G.T, 2) * size * 9
    trust = top_eigenpairs(Dense(A + B), 3, 0.5, max_steps=40).trust
    assert 0.02 * size < trust.symmetry <= 2 * size
    assert 0.02 * size < trust.relation <= 4 * size


@pytest.mark.parametrize("loss", [1e-3, 1e-6])
def test_lost_orthogonality_shows_at_its_own_size_not_its_square(loss: float) -> None:
    run = run_lanczos(Dense(A), 20)
    for rows in run.basis._rows._rows:  # type: ignore[attr-defined]
        rows[3] += loss * rows[1]
    trust = certify(run)
    assert 0.02 * loss < trust.orthogonality < 2 * loss


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_tiny_and_exhausted(dim: int) -> None:
    trust = certify(run_lanczos(Dense(rotated(np.arange(1.0, dim + 1))), 10))
    assert max(trust.relation, trust.orthogonality, trust.symmetry) <= 8 * eps(torch.float64)


def test_the_zero_operator() -> None:
    trust = certify(run_lanczos(Dense(np.zeros((30, 30))), 10))
    assert trust.relation == trust.symmetry == 0.0


def test_as_dict_is_plain() -> None:
    plain = top_eigenpairs(Dense(A), 3).trust.as_dict()
    assert {type(value) for value in plain.values()} <= {float, str, type(None)}
