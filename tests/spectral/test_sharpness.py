"""Curvature in whole spaces and over many planes, and the rescaled trace, against dense matrices, on every space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime import Hessian
from distlandscape.spectral import plane_curvature
from distlandscape.spectral.sharded import ShardedSpace
from distlandscape.spectral.sharpness import rescaled_trace
from distlandscape.theory import hyperplane_semicircle
from tests.helpers import bias_free
from tests.spectral.helpers import Dense

P = 60


def plane_curvatures(H, plane, seed=0):
    return plane_curvature(H, plane, seed).curvatures(plane)


@pytest.fixture(scope="module")
def matrix():
    A = np.random.default_rng(0).standard_normal((P, P))
    return A + A.T + 3 * np.eye(P)


def test_the_whole_space_is_a_plane_with_all_eigenvalues(matrix):
    assert plane_curvatures(Dense(matrix), P) == pytest.approx(np.linalg.eigvalsh(matrix))


def test_a_plane_is_one_pass_and_its_curvatures_lie_within_the_spectrum(matrix):
    operator = Dense(matrix)
    found = plane_curvatures(operator, 5, seed=3)
    values = np.linalg.eigvalsh(matrix)
    assert operator.passes == 1
    assert (np.diff(found) >= 0).all()
    assert (found >= values[:5] - 1e-12).all()  # Cauchy's interlacing
    assert (found <= values[-5:] + 1e-12).all()
    assert not np.allclose(found, plane_curvatures(operator, 5, seed=4))


def test_planes_are_uniformly_random(matrix):
    """Mean and spread over planes are those of the semicircle's centre and radius."""
    circle = hyperplane_semicircle(np.trace(matrix), np.linalg.norm(matrix), P, 10)
    draws = np.stack([plane_curvatures(Dense(matrix), 10, seed) for seed in range(60)])
    means = draws.mean(1)
    assert abs(means.mean() - circle.centre) < 4 * means.std(ddof=1) / np.sqrt(60)
    assert draws.std() == pytest.approx(circle.radius / 2, rel=0.15)


def test_sharded_vectors_give_the_same_bits(matrix):
    theta = np.linspace(-1, 1, P)
    alone, shared = Dense(matrix), Dense(matrix, ShardedSpace(P, 3, torch.float64))
    assert (plane_curvatures(alone, 6) == plane_curvatures(shared, 6)).all()
    assert rescaled_trace(alone, theta, 4) == rescaled_trace(shared, theta, 4)


def test_rescaled_trace(matrix):
    theta = np.random.default_rng(1).standard_normal(P)
    found = rescaled_trace(Dense(matrix), theta, 400)
    exact = float(np.sum(theta**2 * np.diag(matrix)))
    assert 0 < found.stderr < 0.5 * abs(exact)
    assert abs(found.value - exact) < 4 * found.stderr


def test_rescaling_layers_of_a_relu_net_changes_the_trace_but_not_this():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((20, 4)), rng.integers(0, 3, 20)
    values = []
    for alpha in (1.0, 5.0):
        model = bias_free(4, 5, 3)
        first, second = (m for m in model if isinstance(m, nn.Linear))
        first.weight.data *= alpha
        second.weight.data /= alpha
        objective = Objective(model, data)
        H = Hessian(objective)
        dense = H.apply(torch.eye(objective.parameters).double()).numpy()
        exact = np.sum(objective.theta.numpy() ** 2 * np.diag(dense))
        values.append((exact, np.trace(dense), rescaled_trace(H, objective.theta.numpy(), 8).value))
    assert values[0][0] == pytest.approx(values[1][0])
    assert values[0][2] == pytest.approx(values[1][2])
    assert values[0][1] != pytest.approx(values[1][1], rel=0.1)


def test_bad_input(matrix):
    for plane in (1, P + 1):
        with pytest.raises(InputError, match="correct it"):
            plane_curvatures(Dense(matrix), plane)
    with pytest.raises(InputError, match="at least 2"):
        rescaled_trace(Dense(matrix), np.ones(P), 1)
    with pytest.raises(InputError, match="theta has shape"):
        rescaled_trace(Dense(matrix), np.ones(P - 1))
