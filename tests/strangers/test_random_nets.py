"""Any net of torch's layers, any layout, any loss: the product of plain torch or an InputError, nothing else."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel

import distlandscape as dl
from distlandscape.objective.forward_pass import has_weight_norm
from distlandscape.runtime import LocalRunner, ProductPlan
from tests.helpers import heavy_tailed, naive_cross_entropy, naive_mse
from tests.strangers.random_nets import C, N, random_net

# A chain of at most seven layers of some tens of terms each loses a few digits of float64's sixteen.
EXACT = 1e-9


def centered(z, y):
    """A loss that couples the samples of a batch."""
    return naive_cross_entropy(z - z.mean(0), y)


LOSSES = {"cross_entropy": naive_cross_entropy, "mse": naive_mse, heavy_tailed: heavy_tailed, centered: centered}


def oracle(net, loss, x, y, V_KP):
    """Gradient, products, and the size of the terms that cancel in them: by torch alone, all samples at once."""
    model, x = copy.deepcopy(net).eval().to(memory_format=torch.contiguous_format), x.contiguous()
    parameters = list(model.parameters())
    with sdpa_kernel(SDPBackend.MATH):
        mean = loss(model(x.clone()), y).mean()
        gradient = torch.autograd.grad(mean, parameters, create_graph=True, allow_unused=True, materialize_grads=True)
        flat = torch.cat([g.reshape(-1) for g in gradient])
        if not flat.requires_grad:
            return flat.detach(), torch.zeros_like(V_KP)
        rows = [
            torch.autograd.grad(flat, parameters, v, retain_graph=True, allow_unused=True, materialize_grads=True)
            for v in V_KP
        ]
    return flat.detach(), torch.stack([torch.cat([r.reshape(-1) for r in row]) for row in rows])


def verdict(seed):
    """Whether the net of a seed was measured; what was measured is what torch says."""
    net, shape, last = random_net(seed)
    draw = random.Random(seed + 1)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, *shape, generator=generator, dtype=torch.float64)
    y = torch.randint(0, C, (N,), generator=generator)
    x = x.to(memory_format=torch.channels_last) if last else x
    given_loss = draw.choice([*LOSSES])
    plan = ProductPlan(draw.choice(("kept", "double_backward")), channels_last=draw.random() < 0.7)
    runner = LocalRunner(micro_batch=draw.choice((3, 4, 256)), plan=plan)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    try:
        objective = dl.Objective(net, (x, y), given_loss)
        V = torch.randn(2, objective.parameters, generator=generator, dtype=torch.float64)
        products = dl.Hessian(objective, runner).apply(V)
        gradient = dl.gradient(objective, runner)
    except dl.InputError:
        return False
    g, exact = oracle(net, LOSSES[given_loss], x, y, V)
    assert (gradient - g).norm() <= EXACT * (g.norm() + 1e-3)
    u, v = V
    # Where torch's own second derivatives are wrong, as those of weight_norm are, ours have to be right.
    crossed = abs(float(products[0] @ v - products[1] @ u))
    assert crossed <= EXACT * (products.norm() * V.norm() + g.norm() * V.norm() + 1e-3)
    if not has_weight_norm(net):
        assert (products - exact).norm() <= EXACT * (exact.norm() + g.norm() * V.norm() + 1e-3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    return True


@settings(max_examples=40)
@given(st.integers(0, 2**20))
def test_right_or_refused(seed):
    verdict(seed)


@pytest.mark.parametrize("seeds", [range(1000, 1024)])
def test_most_are_measured(seeds):
    """The property above would hold for a program that refuses everything; a quarter has a loss to be refused."""
    assert sum(map(verdict, seeds)) >= 0.5 * len(seeds)
