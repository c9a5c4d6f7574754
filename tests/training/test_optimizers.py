"""Adam and schedules against formulas; weight decay is that of the objective."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.training import train
from distlandscape.training.batches import Batches
from distlandscape.training.schedule import learning_rate
from tests.helpers import relative, samples

FULL = {"seed": 3, "momentum": 0.0, "batch_size": 37, "keep_at": [], "report": lambda step, loss: None}


def trained(objective, steps, **options):
    kept = {}
    settings = {**FULL, **options, "keep_at": [steps]}
    curve = train(objective, steps=steps, keep=lambda s, m: kept.update(m.state_dict()), **settings)
    return torch.cat([kept[name].flatten() for name in objective.names]), curve


@pytest.fixture(scope="module")
def objective():
    model = build_model("mlp", (4, 4), 3, {"hidden": [6], "activation": "tanh"}, seed=0)
    return dl.Objective(model, samples((4, 4), 3), dtype=torch.float64, weight_decay=0.02, label_smoothing=0.1)


def gradient_at(objective, theta):
    named = dict(zip(objective.names, objective.split(theta), strict=True))
    return dl.gradient(objective.with_weights({**objective.model.state_dict(), **named}))


def test_adam_by_hand(objective):
    """On the whole data in one batch the gradient is that of the objective, weight decay included."""
    theta, m, v = objective.theta.clone(), 0.0, 0.0
    for step in range(1, 7):
        g = gradient_at(objective, theta)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - 0.01 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    result, _ = trained(objective, 6, optimizer="adam", learning_rate=0.01)
    assert relative(result - objective.theta, theta - objective.theta) < 1e-9


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_scheduled_descent_by_hand(objective, schedule):
    theta, rates = objective.theta.clone(), []
    for step in range(8):
        rates.append(learning_rate(step, base=0.3, schedule=schedule, steps=8, warmup=2))
        theta = theta - rates[-1] * gradient_at(objective, theta)
    result, curve = trained(objective, 8, learning_rate=0.3, schedule=schedule, warmup_steps=2)
    assert relative(result - objective.theta, theta - objective.theta) < 1e-10
    assert curve[:, 0].tolist() == list(range(1, 9))
    assert curve[:, 2].tolist() == rates


def test_schedules():
    rate = lambda step, **o: learning_rate(step, **{"base": 1.0, "steps": 100, "warmup": 0, **o})  # noqa: E731
    assert [rate(s, schedule="constant", warmup=4) for s in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert [round(rate(s, schedule="step"), 12) for s in (0, 49, 50, 74, 75, 99)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert rate(0, schedule="cosine") == 1
    assert rate(50, schedule="cosine") == pytest.approx(0.5)
    assert rate(20 + 40, schedule="cosine", warmup=20) == pytest.approx(0.5)
    assert rate(99, schedule="cosine") == pytest.approx((1 + math.cos(0.99 * math.pi)) / 2)


@given(steps=st.integers(1, 300), warmup=st.integers(0, 300), schedule=st.sampled_from(["constant", "cosine", "step"]))
def test_rates_are_positive_and_at_most_the_base(steps, warmup, schedule):
    rates = [
        learning_rate(s, base=0.7, schedule=schedule, steps=steps, warmup=min(warmup, steps)) for s in range(steps)
    ]
    assert all(0 < rate <= 0.7 for rate in rates)


def test_the_curve_is_thinned(objective):
    curve = trained(objective, 4100, learning_rate=0.01)[1]
    assert len(curve) == 4100 // 3
    assert curve[:3, 0].tolist() == [3, 6, 9]


@given(size=st.integers(1, 64), blocks=st.sampled_from([1, 2, 4]), first=st.integers(0, 9), seed=st.integers(0, 99))
def test_batches_are_those_of_permutations(size, blocks, first, seed):
    """Whatever step one begins at, and however the data are cut."""
    x, y = np.arange(64)[:, None] * np.ones(3), np.arange(64)
    size = min(size, 64)
    batches = Batches(BlockStore.from_arrays(x, y, blocks), size, seed)
    generator = np.random.Generator(np.random.Philox(seed))
    order = [generator.permutation(64) for _ in range(64)]
    per_epoch = 64 // size
    for step in range(first, first + 5):
        chosen = order[step // per_epoch][step % per_epoch * size :][:size]
        got_x, got_y = batches.batch(step)
        assert np.array_equal(got_y, chosen)
        assert np.array_equal(got_x, x[chosen])
