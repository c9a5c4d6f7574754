"""Differences of the gradient: as good as they say they are, and there where nothing else is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.curvature.finite_difference import finite_difference_steps
from distlandscape.data import BlockStore
from distlandscape.runtime import LocalRunner
from distlandscape.runtime.approximate import FiniteDifferenceHessian
from tests.curvature.nets import C, make
from tests.curvature.test_methods import ReverseOnly
from tests.helpers import Dense, relative, samples

GOOD = {torch.float64: 1e-9, torch.float32: 3e-3}
ESTIMATE = {torch.float64: 1e-5, torch.float32: 1e-2}  # of second order in the step, where the products are of fourth
SMOOTH = ["mlp", "layer_norm", "attention", "encoder"]


@pytest.mark.parametrize("dtype", GOOD)
@pytest.mark.parametrize("name", SMOOTH)
def test_products_and_their_errors(name, dtype):
    model, shape, _ = make(name)
    x, y = samples(shape, C)
    objective = dl.Objective(model, BlockStore.from_arrays(x, y, blocks=2), dtype=dtype, weight_decay=0.1)
    P = objective.parameters
    V_KP = torch.stack([torch.randn(P, generator=torch.Generator().manual_seed(1)), 7 * torch.eye(P)[P // 2]])
    exact = V_KP.double() @ (Dense(model, x, y).hessian() + 0.1 * torch.eye(P).double())
    H = FiniteDifferenceHessian(objective, LocalRunner(micro_batch=9))
    products = H.apply(V_KP)
    assert H.approximate
    assert products.dtype == dtype
    for k in range(2):
        error = relative(products[k], exact[k])
        assert error < GOOD[dtype]
        assert error < 3 * H.errors[k] < 3 * ESTIMATE[dtype]
    # The step scales with the vector, so the product does too, to rounding.
    assert relative(H @ (1e-3 * V_KP[0].to(dtype)), 1e-3 * products[0]) < 2 * H.errors[0] + GOOD[dtype]


def test_kinks_show_in_the_error():
    """Of a ReLU net in float32 a step can cross kinks; then the estimate says so."""
    model, shape, _ = make("batch_norm")
    x, y = samples(shape, C)
    objective = dl.Objective(model, (x, y), dtype=torch.float32)
    v = torch.randn(objective.parameters, generator=torch.Generator().manual_seed(1))
    H = FiniteDifferenceHessian(objective)
    error = relative(H @ v, Dense(model, x, y).hessian() @ v.double())
    assert error > 0.1
    assert H.errors[0] > error / 3


class Cube(nn.Module):
    def forward(self, x):
        return OnceOnly.apply(x)


class OnceOnly(torch.autograd.Function):
    forward = ReverseOnly.forward
    backward = staticmethod(torch.autograd.function.once_differentiable(ReverseOnly.backward))


class Twice(nn.Module):
    def forward(self, x):
        return x**3


def test_a_net_whose_second_derivative_is_missing():
    x, y = samples((4,), C)
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(4, C), nn.Tanh())
    objective = dl.Objective(nn.Sequential(body, Cube()), (x, y), dtype=torch.float64)
    with pytest.raises(dl.InputError, match="OnceOnly, which has no second derivative"):
        dl.Hessian(objective)
    exact = Dense(nn.Sequential(body, Twice()), x, y).hessian()
    assert relative(FiniteDifferenceHessian(objective).apply(torch.eye(len(exact))), exact) < 1e-8


def test_a_vector_of_zeros_and_what_does_not_depend_on_theta():
    x, y = samples((4,), C)
    model = nn.Linear(4, C).double()
    H = FiniteDifferenceHessian(dl.Objective(model, (x, y)))
    assert torch.equal(H @ torch.zeros(15).double(), torch.zeros(15).double())
    flat = dl.Objective(model, (x, y), lambda z, y: 0 * z.sum(1))
    assert torch.equal(FiniteDifferenceHessian(flat) @ torch.ones(15).double(), torch.zeros(15).double())
    with pytest.raises(dl.InputError, match="15"):
        H @ torch.ones(14)


def test_steps_move_weights_by_a_fixed_share():
    """Whether a vector moves one weight or all, and however long it is."""
    theta = torch.full((100,), 3.0)
    V_KP = torch.stack([torch.ones(100), 5 * torch.ones(100), 9 * torch.eye(100)[0], torch.zeros(100)])
    steps = finite_difference_steps(theta, V_KP)
    share = torch.finfo(torch.float32).eps ** 0.2
    assert torch.allclose(steps[:3] * V_KP[:3].amax(1), torch.full((3,), 3 * share).double())
    assert steps[3] == 0
    assert math.isfinite(finite_difference_steps(torch.zeros(4), torch.ones(1, 4))[0])
