"""The loss along a line, against the model moved by hand, tied weights included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime import Hessian, gradient
from distlandscape.runtime.along import loss_along, moved
from tests.helpers import Dense


def data(n=17):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 4)), rng.integers(0, 4, n)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_losses_are_those_of_the_moved_model(decay):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    objective = Objective(model, data(), parameters=["0.*"], weight_decay=decay)
    dense = Dense(model.requires_grad_(False), *data(), patterns=("0.*",))
    v = torch.randn(objective.parameters, dtype=torch.float64)
    for a, found in zip((-1.0, 0.0, 2.5), loss_along(objective, v, (-1.0, 0.0, 2.5)), strict=True):
        theta = dense.theta + a * v
        assert found == pytest.approx(float(dense.value(theta) + 0.5 * decay * theta.square().sum()))


def test_tied_weights_move_together():
    torch.manual_seed(0)
    objective = Objective(Tied().double(), data())
    v = torch.randn(objective.parameters, dtype=torch.float64)
    other = moved(objective, v)
    assert torch.allclose(other.theta, objective.theta + v)
    assert torch.equal(other.model.first.weight, other.model.second.weight)


def test_second_order_along_an_eigenvector():
    torch.manual_seed(0)
    objective = Objective(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4)).double(), data())
    H = Hessian(objective)
    values, vectors = torch.linalg.eigh(H.apply(torch.eye(objective.parameters).double()))
    h, v = 1e-3, vectors[:, -1]
    minus, zero, plus = loss_along(objective, v, (-h, 0.0, h))
    assert (plus - minus) / (2 * h) == pytest.approx(float(gradient(objective) @ v), rel=1e-4)
    assert (plus - 2 * zero + minus) / h**2 == pytest.approx(float(values[-1]), rel=1e-4)


def test_a_direction_of_another_length():
    objective = Objective(nn.Linear(4, 4).double(), data())
    with pytest.raises(InputError, match="give one number each"):
        loss_along(objective, torch.ones(3), (1.0,))
