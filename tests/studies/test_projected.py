"""Projected descent against dense eigenvectors and plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from distlandscape.objective import Objective
from distlandscape.runtime import LocalRunner
from distlandscape.studies.projected import REFRESH, VARIANTS, descend
from tests.helpers import Dense

K, RATE, STEPS = 2, 0.3, REFRESH + 2


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double().requires_grad_(False)
    return model, rng.standard_normal((30, 4)), rng.integers(0, 3, 30)


def naive(net, variant):
    dense = Dense(*net)
    theta, losses, V = dense.theta.clone(), [], None
    for step in range(STEPS + 1):
        dense.theta = theta
        losses.append(float(dense.value(theta)))
        if step % REFRESH == 0:
            V = torch.linalg.eigh(dense.hessian())[1][:, -K:]
        g = dense.gradient()
        inside = V @ (V.T @ g)
        theta = theta - RATE * {"full": g, "onto": inside, "out of": g - inside}[variant]
    return losses


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_are_those_of_dense_projections(net, variant):
    model, x, y = net
    found, passes = descend(Objective(model, (x, y)), variant, STEPS, RATE, K, 1e-9, 0, LocalRunner())
    assert found == pytest.approx(naive(net, variant), rel=1e-7)
    assert len(found) == STEPS + 1
    assert found[-1] < found[0]
    assert passes == STEPS + 1 if variant == "full" else passes > STEPS + 1
