"""The confinement of the gradient and its nulls, against dense matrices and against labels sampled from the model."""

import numpy as np
import pytest
import torch

from distlandscape.models import build_model
from distlandscape.objective import Objective
from distlandscape.runtime import GaussNewton, LocalRunner, gradient
from distlandscape.studies.confinement import confinement_rows, confinement_sizes, gauss_newton_share

C = 3


@pytest.fixture(scope="module")
def objective():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)), rng.integers(0, C, 40)
    return Objective(
        build_model("mlp", (5,), C, {"hidden": [4], "activation": "tanh"}, seed=1), (x, y), dtype=torch.float64
    )


@pytest.fixture(scope="module")
def sampled_second_moment(objective):
    """Mean over samples of E_{y~p} ∇ℓ ∇ℓᵀ, one gradient a sample and label: no Gauss-Newton product is involved."""
    moment = np.zeros((objective.parameters, objective.parameters))
    samples = np.concatenate([objective.data.block(i)[0] for i in range(objective.data.blocks)])
    for sample in torch.tensor(samples):
        leaves = objective.leaves()
        log_p = objective.logits(leaves, sample[None]).log_softmax(1)[0]
        for label in range(C):
            pieces = torch.autograd.grad(-log_p[label], leaves, retain_graph=True)
            g = torch.cat([piece.reshape(-1) for piece in pieces]).numpy()
            moment += float(log_p[label].detach().exp()) * np.outer(g, g) / len(samples)
    return moment


def test_share_is_what_labels_sampled_from_the_model_would_give(objective, sampled_second_moment):
    P = objective.parameters
    V = torch.from_numpy(np.linalg.qr(np.random.default_rng(1).standard_normal((P, C)))[0].T.copy())
    share = gauss_newton_share(GaussNewton(objective, LocalRunner()), V, probes=64, seed=0)
    exact = np.einsum("kp,pq,kq->k", V.numpy(), sampled_second_moment, V.numpy())
    assert np.allclose(share.values["heads"], exact, rtol=1e-10)
    assert abs(share.values["trace"] - np.trace(sampled_second_moment)) < 5 * share.values["trace_stderr"]


def test_nothing_is_left_to_chance_when_the_vectors_span_the_space(objective, sampled_second_moment):
    share = gauss_newton_share(
        GaussNewton(objective, LocalRunner()), torch.eye(objective.parameters, dtype=torch.float64), probes=2, seed=0
    )
    assert np.isclose(share.values["trace"], np.trace(sampled_second_moment), rtol=1e-10)
    assert share.values["trace_stderr"] < 1e-12


def test_rows_hold_the_fraction_beside_both_nulls(objective):
    g = gradient(objective)
    V = torch.eye(objective.parameters, dtype=torch.float64)[:C]
    share = gauss_newton_share(GaussNewton(objective, LocalRunner()), V, probes=4, seed=0)
    sizes = confinement_sizes(objective)
    assert sizes == {"C-1": C - 1, "C": C, "10": 10}
    rows = confinement_rows(2, 7, {"C-1": C - 1, "C": C}, g, V, share)
    for row, k in zip(rows, (C - 1, C), strict=True):
        assert row["fraction"] == pytest.approx(float((g[:k] ** 2).sum() / (g**2).sum()), rel=1e-12)
        assert row["null_uniform"] == k / objective.parameters
        assert row["null_share"] == pytest.approx(sum(share.values["heads"][:k]) / share.values["trace"])
        assert (row["checkpoint"], row["step"], row["k"]) == (2, 7, k)


def test_no_confinement_without_classes(objective):
    x, y = np.zeros((20, 5)), np.zeros((20, C))
    assert confinement_sizes(Objective(objective.model, (x, y), "mse")) == {}
