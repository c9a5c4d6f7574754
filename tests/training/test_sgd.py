"""Training: repeatable bit for bit, equal to plain SGD, with checkpoints where they were asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.training import checkpoint_steps, train
from tests.helpers import samples
from tests.models.factories import dropout_net

SETTINGS = {"steps": 12, "seed": 3, "learning_rate": 0.1, "momentum": 0.9, "batch_size": 10}


@pytest.fixture(scope="module")
def objective():
    model = build_model("mlp", (4, 4), 3, {"hidden": [6]}, seed=0)
    return dl.Objective(model, samples((4, 4), 3))


def run(objective, keep_at=(), **changes):
    settings = {**SETTINGS, **changes}
    kept, losses = {}, []

    def keep(step, model):
        assert not model.training
        kept[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    train(
        objective,
        **settings,
        keep_at=[*keep_at, settings["steps"]],
        keep=keep,
        report=lambda step, loss: losses.append((step, loss)),
    )
    return kept, losses


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_repeatable_bit_for_bit(objective):
    (first, losses), (second, again) = run(objective), run(objective)
    assert same(first[12], second[12])
    assert losses == again
    assert [step for step, _ in losses] == list(range(1, 13))


def test_dropout_and_batch_norm_are_repeatable_too():
    torch.manual_seed(0)
    objective = dl.Objective(dropout_net(), samples((16,), 3))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(objective)[0][12]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(first, run(objective)[0][12])
    assert not same(first, run(objective, seed=4)[0][12])
    assert first["2.num_batches_tracked"] == 12


def test_keeping_weights_changes_nothing(objective):
    few, many = run(objective)[0], run(objective, keep_at=range(13))[0]
    assert same(few[12], many[12])
    assert list(many) == list(range(13))
    assert same(many[0], objective.model.state_dict())
    shorter = run(objective, steps=5)[0]
    assert same(shorter[5], many[5])


def test_the_objective_is_left_alone(objective):
    digest, theta = objective.weights_sha256, objective.theta.clone()
    run(objective)
    assert objective.weights_sha256 == digest
    assert torch.equal(objective.theta, theta)
    assert not objective.model.training


def test_equals_plain_sgd_with_momentum(objective):
    """Heavy ball by hand, on the batches the seed promises: Philox permutations, without replacement."""
    order = np.random.Generator(np.random.Philox(3))
    x, y = (
        np.concatenate(parts) for parts in zip(*map(objective.data.block, range(objective.data.blocks)), strict=True)
    )
    permutations = [order.permutation(37) for _ in range(4)]
    batches = [p[i : i + 10] for p in permutations for i in (0, 10, 20)]
    names = [name for name, _ in objective.model.named_parameters()]
    theta = [p.double() for p in objective.leaves()]
    velocity = [torch.zeros_like(p) for p in theta]
    for batch in batches:
        theta = [p.detach().requires_grad_(True) for p in theta]
        z = torch.func.functional_call(
            build_model("mlp", (4, 4), 3, {"hidden": [6]}, seed=0).double(),
            dict(zip(names, theta, strict=True)),
            torch.tensor(x[batch]),
        )
        gradient = torch.autograd.grad(nn.functional.cross_entropy(z, torch.tensor(y[batch])), theta)
        velocity = [0.9 * v + g for v, g in zip(velocity, gradient, strict=True)]
        theta = [p - 0.1 * v for p, v in zip(theta, velocity, strict=True)]
    trained = run(objective)[0][12]
    for name, p in zip(names, theta, strict=True):
        assert torch.allclose(trained[name].double(), p, rtol=1e-4, atol=1e-5)


def test_every_setting_matters(objective):
    base = run(objective)[0][12]
    for change in ({"seed": 4}, {"learning_rate": 0.11}, {"momentum": 0.8}, {"batch_size": 9}):
        assert not same(base, run(objective, **change)[0][12])


def test_it_learns(objective):
    losses = run(objective, steps=150)[1]
    assert losses[-1][1] < 0.2 < losses[0][1]


def test_only_the_objectives_parameters_move():
    model = build_model("mlp", (4, 4), 3, {"hidden": [6]}, seed=0)
    trained = run(dl.Objective(model, samples((4, 4), 3), parameters=["3.*"]))[0][12]
    for name, parameter in model.named_parameters():
        assert torch.equal(trained[name], parameter) == name.startswith("1.")


def test_a_batch_larger_than_the_data_is_all_of_it(objective):
    losses = run(objective, batch_size=1000)[1]
    assert losses[0][1] == pytest.approx(losses_of_all(objective), rel=1e-5)


def losses_of_all(objective):
    from distlandscape.runtime import loss_accuracy_gradient

    return loss_accuracy_gradient(objective)[0]


def test_no_steps(objective):
    kept, losses = run(objective, steps=0)
    assert same(kept[0], objective.model.state_dict())
    assert losses == []


def test_divergence_says_what_to_lower(objective):
    with pytest.raises(dl.InputError, match=r"diverged at step \d+; lower train.learning_rate \(now 1e\+30\)"):
        run(objective, learning_rate=1e30)
    reported = []
    with pytest.raises(dl.InputError, match="diverged"):
        train(
            objective,
            **{**SETTINGS, "steps": 500, "learning_rate": 1e30},
            keep_at=[500],
            keep=lambda step, model: None,
            report=lambda step, loss: reported.append(loss),
        )
    assert len(reported) < 20  # at the first sign, not at the end


def test_divergence_in_the_very_last_step(objective):
    """The loss of that step was still finite; its weights are not."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    x = np.full((20, 16), 1e15)
    steep = dl.Objective(model, (x, np.zeros(20)), "mse")
    kept = {}
    with pytest.raises(dl.InputError, match="diverged at step 1;"):
        train(
            steep,
            **{**SETTINGS, "steps": 1, "learning_rate": 1e20},
            keep_at=[1],
            keep=kept.setdefault,
            report=lambda step, loss: None,
        )
    assert kept == {}


def test_batch_norm_and_a_batch_of_one():
    objective = dl.Objective(dropout_net(), samples((16,), 3))
    with pytest.raises(dl.InputError, match=r"batches of 1 .*change train\.batch_size"):
        run(objective, batch_size=1)


@given(steps=st.integers(0, 100_000), count=st.integers(1, 50))
def test_checkpoint_steps(steps, count):
    kept = checkpoint_steps(steps, count)
    assert kept == sorted(set(kept))
    assert kept[-1] == steps
    assert 1 <= len(kept) <= count
    assert all(0 <= step <= steps for step in kept)
    if count > 1:
        assert kept[0] == 0
    if steps >= 2**count:  # far enough apart not to meet after rounding
        assert len(kept) == count
        ratios = [b / a for a, b in pairwise(kept[1:])]
        assert not ratios or max(ratios) / min(ratios) < 2.5


def test_checkpoint_steps_by_example():
    assert checkpoint_steps(500, 1) == [500]
    assert checkpoint_steps(500, 2) == [0, 500]
    assert checkpoint_steps(1000, 5) == [0, 1, 10, 100, 1000]
    assert checkpoint_steps(1, 5) == [0, 1]
    assert checkpoint_steps(0, 5) == [0]
