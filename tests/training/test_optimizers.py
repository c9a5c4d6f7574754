"""What is descended is the objective, by the rules as they are written down."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.training import learning_rate_at, train
from distlandscape.training.batches import batches
from tests.helpers import samples

N, STEPS, SIZE, SEED = 37, 25, 10, 3
SETTINGS = {"steps": STEPS, "seed": SEED, "learning_rate": 0.05, "momentum": 0.9, "batch_size": SIZE}


@pytest.fixture(scope="module")
def objective():
    model = build_model("mlp", (4, 4), 3, {"hidden": [6]}, seed=0)
    return dl.Objective(model, samples((4, 4), 3, N), dtype=torch.float64, weight_decay=0.07, label_smoothing=0.1)


def trained(objective, **changes):
    """Weights at the end, flat, and the reported values."""
    settings = {**SETTINGS, **changes}
    kept, values = {}, []
    train(
        objective,
        **settings,
        keep_at=[settings["steps"]],
        keep=lambda _, model: kept.update({k: v.clone() for k, v in model.state_dict().items()}),
        report=lambda _, value: values.append(value),
    )
    return objective.with_weights(kept).theta, values


def by_hand(objective, update, steps=STEPS):
    """θ after ``update(step, θ, gradient of the objective on the batch)``, with the values before each of them."""
    x, y = (
        np.concatenate(parts) for parts in zip(*map(objective.data.block, range(objective.data.blocks)), strict=True)
    )
    theta, values = objective.theta.clone(), []
    for step, batch in zip(range(steps), batches(N, SIZE, SEED), strict=False):
        leaf = theta.clone().requires_grad_(True)
        z = objective.logits(objective.split(leaf), torch.tensor(x[batch], dtype=torch.float64))
        smooth = nn.functional.cross_entropy(z, torch.tensor(y[batch]), label_smoothing=0.1)
        value = smooth + 0.07 / 2 * leaf.square().sum()
        (gradient,) = torch.autograd.grad(value, leaf)
        values.append(value.item())
        theta = update(step, theta, gradient)
    return theta, values


def adam(rate):
    m = v = 0.0

    def update(step, theta, gradient):
        nonlocal m, v
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        return theta - rate(step) * m_hat / (v_hat.sqrt() + 1e-8)

    return update


def heavy_ball(rate):
    velocity = 0.0

    def update(step, theta, gradient):
        nonlocal velocity
        velocity = 0.9 * velocity + gradient
        return theta - rate(step) * velocity

    return update


@pytest.mark.parametrize(("name", "rule"), [("adam", adam), ("sgd", heavy_ball)])
@pytest.mark.parametrize(("schedule", "warmup"), [("constant", 0), ("cosine", 4), ("step", 2)])
def test_equals_the_rule_written_by_hand(objective, name, rule, schedule, warmup):
    theta, values = trained(objective, optimizer=name, schedule=schedule, warmup_steps=warmup)
    expected, before = by_hand(objective, rule(lambda step: learning_rate_at(step, STEPS, 0.05, schedule, warmup)))
    assert torch.allclose(theta, expected, rtol=1e-10, atol=1e-12)
    assert np.allclose(values, before, rtol=1e-10)


def test_a_step_on_all_samples_goes_down_the_gradient_of_the_objective(objective):
    theta, values = trained(objective, steps=1, batch_size=N, momentum=0.0)
    assert torch.allclose((objective.theta - theta) / 0.05, dl.gradient(objective), rtol=1e-10, atol=1e-13)
    from distlandscape.runtime import loss_accuracy_gradient

    assert values[0] == pytest.approx(loss_accuracy_gradient(objective)[0], rel=1e-13)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_weight_decay_spares_what_the_objective_does_not_move(name):
    model = build_model("mlp", (4, 4), 3, {"hidden": [6]}, seed=0)
    part = dl.Objective(model, samples((4, 4), 3, N), parameters=["3.*"], weight_decay=0.5)
    kept = {}
    train(
        part,
        **SETTINGS,
        optimizer=name,
        keep_at=[STEPS],
        keep=lambda _, trained: kept.update({k: v.clone() for k, v in trained.state_dict().items()}),
        report=lambda *_: None,
    )
    for key, parameter in model.named_parameters():
        assert torch.equal(kept[key], parameter) == key.startswith("1.")


class WithSpare(nn.Module):
    """A network with a parameter that its loss does not know."""

    def __init__(self):
        super().__init__()
        self.linear, self.spare = nn.Linear(4, 3), nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.linear(x)


def test_weight_decay_moves_what_the_loss_does_not_know():
    whole = dl.Objective(WithSpare(), samples((4,), 3, N), dtype=torch.float64, weight_decay=0.5)
    place = whole.names.index("spare")
    theta, _ = trained(whole, steps=3, momentum=0.0)
    assert torch.allclose(whole.split(theta)[place], torch.full((2,), (1 - 0.05 * 0.5) ** 3, dtype=torch.float64))


def test_an_unknown_rule_is_refused(objective):
    with pytest.raises(dl.InputError, match=r"train\.optimizer='lion' is unknown; known: sgd, adam"):
        trained(objective, optimizer="lion")
