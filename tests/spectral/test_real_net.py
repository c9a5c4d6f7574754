"""A trained net on real digits, P = 1,810: Ritz values and density against the dense Hessian."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

import distlandscape as dl
from distlandscape.results import SpectralDensity
from tests.spectral.conftest import Net
from tests.spectral.helpers import Array, Dense


def spread(values: Array) -> float:
    """Mean |λ − mean λ|: the error of an estimate that knows the trace alone."""
    return float(np.abs(values - values.mean()).mean())


def error(density: SpectralDensity, values: Array) -> float:
    """Wasserstein distance to the exact measure, in units of its spread."""
    return float(wasserstein_distance(values, density.nodes, None, density.weights)) / spread(values)


def test_the_net_is_trained_and_its_spectrum_has_outliers(net: Net) -> None:
    assert len(net.eigenvalues) == net.H.shape[0] == 1810
    assert net.eigenvalues[-1] > 50 * np.abs(net.eigenvalues).mean()
    assert net.eigenvalues[0] < 0


def test_ritz_values_match_dense_eigenvalues(net: Net) -> None:
    before = net.H.passes
    pairs = dl.top_eigenpairs(net.H, (20, 5), 1e-7, "BE")
    exact = np.concatenate([net.eigenvalues[::-1][:20], net.eigenvalues[:5][::-1]])
    norm = np.abs(net.eigenvalues).max()
    assert pairs.status == "converged"
    assert np.abs(pairs.eigenvalues - exact).max() <= 1e-6 * norm
    assert (np.abs(pairs.eigenvalues - exact) <= np.maximum(1e-7 * np.abs(exact), 1e-13 * norm)).all()
    V = pairs.eigenvectors.numpy()
    true = np.linalg.norm(V @ net.dense - pairs.eigenvalues[:, None] * V, axis=1)
    assert (true <= pairs.residuals + 1e-14 * norm).all()
    assert (pairs.residuals <= np.maximum(1e-7 * np.abs(exact), 1e-14 * norm)).all()
    assert pairs.passes == net.H.passes - before
    assert max(pairs.trust.relation, pairs.trust.orthogonality, pairs.trust.symmetry) <= 1e-14


@pytest.mark.parametrize(("draws", "allowed"), [(4, 0.12), (40, 0.08)])
def test_density_is_close_to_the_exact_one(net: Net, draws: int, allowed: float) -> None:
    density = dl.spectral_density(Dense(net.dense), draws, 80)
    assert error(density, net.eigenvalues) <= allowed
    mean = density.mean()
    assert abs(mean.value - net.eigenvalues.mean()) <= 4 * mean.stderr
    assert mean.stderr <= 0.2 * abs(net.eigenvalues.mean())


@pytest.mark.parametrize("seed", [1, 2])
def test_four_draws_suffice_at_other_seeds(net: Net, seed: int) -> None:
    assert error(dl.spectral_density(Dense(net.dense), 4, 80, seed), net.eigenvalues) <= 0.12


def test_a_one_atom_estimate_fails(net: Net) -> None:
    one = wasserstein_distance(net.eigenvalues, [net.eigenvalues.mean()]) / spread(net.eigenvalues)
    assert one == pytest.approx(1.0)
    single = dl.spectral_density(Dense(net.dense), 4, 1)
    assert error(single, net.eigenvalues) > 0.9


def test_known_pairs_improve_the_density_and_its_mean(net: Net) -> None:
    operator = Dense(net.dense)
    known = dl.top_eigenpairs(operator, (20, 5), 1e-7, "BE")
    density = dl.spectral_density(operator, 4, 80, known=known)
    assert error(density, net.eigenvalues) <= 0.12
    assert (density.draw == -1).sum() == 25
    np.testing.assert_array_equal(np.sort(density.nodes[density.draw == -1]), np.sort(known.eigenvalues))
    mean = density.mean()
    assert abs(mean.value - net.eigenvalues.mean()) <= 4 * mean.stderr
    estimate = dl.trace(operator, 16, known=known)
    assert abs(estimate.value - net.eigenvalues.sum()) <= 4 * estimate.stderr
    assert estimate.stderr < 0.5 * dl.trace(operator, 16).stderr
    norm = dl.frobenius_norm(operator, 16, known=known)
    assert abs(norm.value - np.linalg.norm(net.eigenvalues)) <= 4 * norm.stderr
    assert norm.stderr < 0.5 * dl.frobenius_norm(operator, 16).stderr
