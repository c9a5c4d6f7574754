"""A training cut anywhere and gone on with ends in the same bits."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

import distlandscape as dl
from distlandscape.errors import Diverged
from distlandscape.training import train
from tests.helpers import samples
from tests.models.factories import dropout_net

SETTINGS = {"steps": 14, "seed": 3, "learning_rate": 0.05, "momentum": 0.9, "batch_size": 10, "warmup_steps": 3}


class Cut(Exception):
    """The crash."""


class Memory:
    """Keeps every state as bytes, as a file would."""

    def __init__(self, content=None):
        self.content, self.steps = content, []

    def restore(self):
        return None if self.content is None else load(self.content)

    def offer(self, step, state):
        self.steps.append(step)
        self.content = save(dict(state()))


@pytest.fixture(scope="module")
def objective():
    torch.manual_seed(0)
    return dl.Objective(dropout_net(), samples((16,), 3), weight_decay=1e-3)


def run(objective, state=None, cut=None, **changes):
    kept = {}

    def report(step, loss):
        if step == cut:
            raise Cut

    def keep(step, model):
        kept[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    options = {**SETTINGS, "keep_at": [0, 5, 9, 14], "keep": keep, "report": report, **changes}
    curve = train(objective, state=state, **options)
    return kept, curve


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
@pytest.mark.parametrize("cut", [1, 4, 9, 14])
def test_same_bits(objective, optimizer, schedule, cut):
    options = {"optimizer": optimizer, "schedule": schedule}
    whole, curve = run(objective, **options)
    memory = Memory()
    with pytest.raises(Cut):
        run(objective, memory, cut, **options)
    torch.manual_seed(99)  # what else goes on in the process does not matter
    again = Memory(memory.content)
    rest, same_curve = run(objective, again, **options)
    assert again.steps[0] == cut - 1  # the step under way is done again, none before
    assert set(rest) == {step for step in whole if step >= cut - 1}
    assert all(same(rest[step], whole[step]) for step in rest)
    assert torch.equal(curve, same_curve)


def test_cut_twice(objective):
    whole = run(objective)[0]
    memory = Memory()
    for cut in (4, 11):
        with pytest.raises(Cut):
            run(objective, memory, cut)
    assert same(run(objective, memory)[0][14], whole[14])


def test_a_state_from_long_ago_is_as_good(objective):
    """States are kept now and then; what came since is done again."""

    class Seldom(Memory):
        def offer(self, step, state):
            if step % 6 == 5:
                super().offer(step, state)

    whole = run(objective)[0]
    memory = Seldom()
    with pytest.raises(Cut):
        run(objective, memory, 10)
    assert memory.steps == [5]
    assert same(run(objective, memory)[0][14], whole[14])


def test_state_costs_nothing_where_it_is_not_taken(objective):
    class Never(Memory):
        def offer(self, step, state):
            assert callable(state)

    assert same(run(objective, Never())[0][14], run(objective)[0][14])


def test_divergence_is_told_apart(objective):
    with pytest.raises(Diverged, match=r"lower train\.learning_rate"):
        run(objective, learning_rate=1e30)
