"""The kernel and its spectrum against dense Jacobians, and against Lanczos on G for the digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from distlandscape.data import load_source
from distlandscape.errors import InputError
from distlandscape.models import build_model
from distlandscape.objective import Objective
from distlandscape.runtime import GaussNewton, LocalRunner
from distlandscape.runtime import kernel as module
from distlandscape.runtime.clustering import first_logits
from distlandscape.runtime.kernel import dual_eigenvalues, empirical_kernel, kernel_drift, linearised
from distlandscape.spectral import top_eigenpairs
from tests.runtime.test_clustering import uneven


def moved(objective, size, seed=5):
    state = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
    torch.manual_seed(seed)
    for tensor in state.values():
        tensor += size * torch.randn_like(tensor)
    return objective.with_weights(state)


@pytest.mark.parametrize("parameters", [None, ["0.*"]])
@pytest.mark.parametrize("sums", [1, 40_000, 2**26])
def test_kernel_and_spectrum_against_dense_jacobians(parameters, sums, monkeypatch):
    monkeypatch.setattr(module, "SUMS_BYTES", sums)
    objective, dense = uneven(parameters=parameters)
    J = dense.jacobian().flatten(0, 1)
    found = empirical_kernel(objective, LocalRunner(micro_batch=3))
    assert np.abs(found - (J @ J.T).numpy()).max() < 1e-12 * np.abs(found).max()
    G = torch.linalg.eigvalsh(dense.gauss_newton()).flip(0).numpy()
    dual = dual_eigenvalues(found, first_logits(objective, objective.samples))
    size = min(len(G), len(dual))
    assert np.abs(dual[:size] - G[:size]).max() < 1e-12 * G[0]
    assert np.abs(np.concatenate([dual[size:], G[size:]])).max(initial=0) < 1e-12 * G[0]


def test_equals_lanczos_on_digits():
    data = load_source("digits", samples=150, seed=0)
    model = build_model("mlp", (64,), 10, {"hidden": [16]}, seed=0)
    start = Objective(model, data, dtype=torch.float64)
    dual = dual_eigenvalues(empirical_kernel(start), first_logits(start, 150))
    pairs = top_eigenpairs(GaussNewton(start), 15, 1e-9)
    assert pairs.status == "converged"
    assert np.abs(dual[:15] - pairs.eigenvalues).max() < 1e-8 * dual[0]
    assert len(dual) == 1500
    assert abs(dual[start.parameters :]).max() < 1e-10 * dual[0]


def test_drift():
    objective, _ = uneven()
    K = empirical_kernel(objective)
    assert vars(kernel_drift(K, K)) == pytest.approx({"relative": 0, "alignment": 1})
    assert vars(kernel_drift(3 * K, K)) == pytest.approx({"relative": 2, "alignment": 1})
    far, near = (kernel_drift(empirical_kernel(moved(objective, size)), K) for size in (0.3, 0.01))
    assert far.relative > 10 * near.relative > 0
    assert far.alignment < near.alignment < 1


def test_the_linearised_network_is_the_network_where_it_is_linear():
    model = nn.Linear(4, 3).double()
    objective, _ = uneven(labels=[0] * 4 + [1] * 3 + [2] * 5, model=model)
    other = moved(objective, 2.0)
    found = linearised(objective, other)
    assert found.error < 1e-14
    assert found.agreement == 1
    z = first_logits(other, 12)
    assert found.accuracy == (z.argmax(1) == other.data.take(np.arange(12))[1]).mean()


def test_the_error_of_the_linearised_network_is_of_second_order():
    objective, dense = uneven()
    errors = [linearised(objective, moved(objective, size)).error for size in (1e-3, 1e-4)]
    assert errors[0] == pytest.approx(10 * errors[1], rel=0.05)
    there = moved(objective, 0.3)
    step = there.theta - objective.theta
    flat = dense.logits(dense.theta).detach() + dense.jacobian() @ step
    z0, z1 = (torch.from_numpy(first_logits(o, o.samples)) for o in (objective, there))
    found = linearised(objective, there, LocalRunner(micro_batch=3))
    assert found.error == pytest.approx(float((flat - z1).norm() / (z1 - z0).norm()), rel=1e-10)
    assert found.agreement == float((flat.argmax(1) == z1.argmax(1)).double().mean())


def test_nothing_moved():
    objective, _ = uneven()
    found = linearised(objective, objective)
    assert (found.error, found.agreement) == (0, 1)


def test_too_large_a_kernel_is_refused():
    objective = Objective(nn.Linear(1, 10), (np.ones((1001, 1)), np.arange(1001) % 10))
    with pytest.raises(InputError, match=r"10,010 rows, more than 10,000; set data.samples to 1,000 or less"):
        empirical_kernel(objective)
