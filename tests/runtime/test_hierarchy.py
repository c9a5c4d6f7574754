"""The levels of class structure against dense matrices built sample by sample from Papyan's definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from distlandscape.objective import Objective
from distlandscape.runtime import GaussNewton, LocalRunner
from distlandscape.runtime import hierarchy as module
from distlandscape.runtime.hierarchy import (
    BetweenLogits,
    class_means,
    level_traces,
    mean_overlaps,
    weighted_eigenvalues,
)
from distlandscape.spectral import top_eigenpairs
from tests.helpers import Dense, relative
from tests.runtime.test_clustering import LABELS, uneven

BALANCED = [c for c in range(3) for _ in range(6)]
CASES = {"uneven": LABELS, "balanced": BALANCED, "two classes": [0] * 5 + [1] * 3}


class Naive:
    """Every δ, every mean, every outer product, in loops."""

    def __init__(self, dense):
        J, y = dense.jacobian(), dense.y.tolist()
        p = dense.logits(dense.theta).detach().softmax(1)
        N, C, P = J.shape
        delta = [[p[i, c] ** 0.5 * (J[i, c] - p[i] @ J[i]) for c in range(C)] for i in range(N)]
        members = [[i for i in range(N) if y[i] == c] for c in range(C)]
        self.mu = torch.stack([torch.stack([sum(delta[i][d] for i in m) / len(m) for d in range(C)]) for m in members])
        self.across = torch.stack([sum(self.mu[c, d] for d in range(C) if d != c) / (C - 1) for c in range(C)])
        self.G = [torch.zeros(P, P).double() for _ in range(4)]
        for c, m in enumerate(members):
            share = len(m) / N
            self.G[0] += share * torch.outer(self.mu[c, c], self.mu[c, c])
            self.G[1] += share * (C - 1) * torch.outer(self.across[c], self.across[c])
            for d in range(C):
                if d != c:
                    nu = self.mu[c, d] - self.across[c]
                    self.G[2] += share * torch.outer(nu, nu)
                spread = [delta[i][d] - self.mu[c, d] for i in m]
                self.G[3] += share * sum(torch.outer(s, s) for s in spread) / len(m)
        self.own = self.mu[range(C), range(C)]


def dense_levels(objective, runner=None):
    """The package's G0, G1, G2 as matrices."""
    means = class_means(objective, runner)
    zero, one = (
        torch.from_numpy(m.T @ (w[:, None] * m))
        for w, m in ((means.own_weights, means.own), (means.across_weights, means.across))
    )
    return means, [zero, one, BetweenLogits(objective, runner).apply(torch.eye(objective.parameters).double())]


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES)
@pytest.mark.parametrize("sums", [1, 2**26])
def test_levels_and_their_sum_against_dense_matrices(labels, sums, monkeypatch):
    monkeypatch.setattr(module, "SUMS_BYTES", sums)
    objective, dense = uneven(labels=labels)
    naive, runner = Naive(dense), LocalRunner(micro_batch=3)
    means, levels = dense_levels(objective, runner)
    assert relative(means.own, naive.own) < 1e-12
    assert relative(means.across, naive.across) < 1e-12
    G = GaussNewton(objective, runner).apply(torch.eye(objective.parameters).double())
    scale = float(dense.gauss_newton().norm())
    for found, expected in zip([*levels, G - sum(levels)], naive.G, strict=True):
        assert float((found - expected).norm()) < 1e-9 * scale
    assert float((sum(naive.G) - dense.gauss_newton()).norm()) < 1e-9 * scale
    for found, level in zip(
        [(means.own, means.own_weights), (means.across, means.across_weights)], naive.G, strict=False
    ):
        C = len(means.counts)
        expected = torch.linalg.eigvalsh(level).flip(0)[:C].clamp(min=0)
        assert weighted_eigenvalues(*found) == pytest.approx(expected.numpy(), abs=1e-9 * scale)
    traces = level_traces(objective, means, runner)
    assert traces.levels == pytest.approx([float(level.trace()) for level in naive.G], abs=1e-9 * scale)
    assert traces.total == pytest.approx(float(dense.gauss_newton().trace()), rel=1e-12)
    assert traces.stderr == (0, 0, 0, 0)


def test_lanczos_finds_the_eigenvalues_between_logits():
    objective, dense = uneven()
    expected = torch.linalg.eigvalsh(Naive(dense).G[2]).flip(0)[:5].numpy()
    pairs = top_eigenpairs(BetweenLogits(objective), 5, 1e-9)
    assert pairs.status == "converged"
    assert pairs.eigenvalues == pytest.approx(expected, rel=1e-9)


def test_two_classes_have_nothing_between_logits():
    objective, _ = uneven(labels=CASES["two classes"])
    assert BetweenLogits(objective).apply(torch.eye(objective.parameters).double()).abs().max() < 1e-15


def test_probes_estimate_what_is_not_formed(monkeypatch):
    """Within five standard errors, which are not wide; all of a probe's forms agree with the dense ones."""
    objective, dense = uneven()
    means, naive = class_means(objective), Naive(dense)
    monkeypatch.setattr(module, "EXACT_ENTRIES", 0)
    found = level_traces(objective, means, probes=200, seed=3)
    expected = [float(level.trace()) for level in naive.G]
    assert found.levels[:2] == pytest.approx(expected[:2], rel=1e-12)
    for value, error, exact in zip(found.levels[2:], found.stderr[2:], expected[2:], strict=True):
        assert 0 < error < 0.1 * exact
        assert abs(value - exact) < 5 * error
    assert abs(found.total - sum(expected)) < 5 * found.total_stderr
    assert found.probes == 200
    monkeypatch.setattr(module, "SUMS_BYTES", 1)
    assert level_traces(objective, means, probes=200, seed=3).levels == pytest.approx(found.levels, rel=1e-12)


def test_overlaps_against_projectors():
    objective, dense = uneven()
    means, naive = class_means(objective), Naive(dense)
    pairs = top_eigenpairs(GaussNewton(objective), 4, 1e-9)
    V = pairs.eigenvectors
    cosines, span = mean_overlaps(V.numpy(), means.own)
    expected = (V @ (naive.own / naive.own.norm(dim=1, keepdim=True)).T) ** 2
    assert cosines == pytest.approx(expected.numpy(), abs=1e-9)
    projector = torch.linalg.qr(naive.own.T)[0]
    assert span == pytest.approx((V @ projector).square().sum(1).numpy(), abs=1e-9)
    assert (cosines <= span[:, None] + 1e-12).all()
    own = mean_overlaps(means.own / np.linalg.norm(means.own, axis=1, keepdims=True), means.own)
    assert (np.diag(own[0]), own[1]) == (pytest.approx(1), pytest.approx(1))


def test_a_parameter_no_logit_depends_on():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3)).double()
    model.add_module("unused", nn.Identity())
    model.unused.weight = nn.Parameter(torch.ones(2).double())
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 4)), np.arange(9) % 3
    alone = Objective(model, (x, y), parameters=["unused.weight"])
    assert level_traces(alone, class_means(alone)).total == 0
    assert BetweenLogits(alone).apply(torch.ones(1, 2).double()).abs().max() == 0
    both, dense = Objective(model, (x, y)), Dense(model, x, y)
    assert level_traces(both, class_means(both)).total == pytest.approx(float(dense.gauss_newton().trace()))
