"""A training that goes on from a kept state ends with the bits of one that was never interrupted."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.training import train
from tests.helpers import samples
from tests.models.factories import dropout_net, tied

STEPS = 14
KEEP_AT = [0, 1, 5, 9, STEPS]


class Interruption(Exception):
    pass


class Kept:
    """A journal in memory, by way of the bytes of a file, that keeps every state and cuts off at a step."""

    def __init__(self, cut=None, state=None):
        self.cut, self.content, self.began = cut, state, None

    def restore(self):
        if self.content is None:
            return None
        self.began, content = self.content
        return self.began, load(content)

    def commit(self, step, state):
        self.content = (step, save(state()))
        if step == self.cut:
            raise Interruption


def run(objective, journal=None, **settings):
    weights, losses = {}, {}

    def keep(step, model):
        weights[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    train(
        objective,
        **{"steps": STEPS, "seed": 3, "learning_rate": 0.05, "momentum": 0.9, "batch_size": 10, **settings},
        keep_at=KEEP_AT,
        keep=keep,
        report=losses.__setitem__,
        journal=journal,
    )
    return weights, losses


def plain():
    return build_model("mlp", (4, 4), 3, {"hidden": [6]}, seed=0)


def hidden_buffer():
    """A buffer that moves and that a state dict leaves out."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 3)
            self.register_buffer("calls", torch.zeros(1), persistent=False)

        def forward(self, x):
            if self.training:
                self.calls += 1
            return self.layer(x.flatten(1)) * (1 + 0.01 * self.calls)

    return Counting()


@pytest.mark.parametrize("cut", [1, 5, 7, 13])
@pytest.mark.parametrize("factory", [plain, dropout_net, tied, hidden_buffer])
@pytest.mark.parametrize("settings", [{"optimizer": "sgd"}, {"optimizer": "adam", "schedule": "cosine"}])
def test_interrupted_and_resumed_equals_uninterrupted(cut, factory, settings):
    torch.manual_seed(0)
    objective = dl.Objective(factory(), samples((4, 4), 3), weight_decay=0.01)
    whole, losses = run(objective, warmup_steps=3, **settings)
    first = Kept(cut)
    with pytest.raises(Interruption):
        run(objective, first, warmup_steps=3, **settings)
    torch.manual_seed(1)  # another process has another random state
    torch.rand(5)
    second = Kept(state=first.content)
    rest, more = run(objective, second, warmup_steps=3, **settings)
    assert second.began == cut
    assert min(more) == cut + 1
    assert list(rest) == [step for step in KEEP_AT if step >= cut]
    for step, weights in rest.items():
        assert all(torch.equal(tensor, whole[step][name]) for name, tensor in weights.items())
    assert all(losses[step] == loss for step, loss in more.items())


def test_the_state_a_training_starts_from_is_not_kept_again():
    objective = dl.Objective(plain(), samples((4, 4), 3))
    journal = Kept()
    run(objective, journal, steps=1)
    assert journal.content is None


def test_interrupted_twice():
    torch.manual_seed(0)
    objective = dl.Objective(dropout_net(), samples((16,), 3))
    whole = run(objective)[0]
    state = None
    for cut in (4, 11):
        journal = Kept(cut, state)
        with pytest.raises(Interruption):
            run(objective, journal)
        state = journal.content
    rest = run(objective, Kept(state=state))[0]
    assert all(torch.equal(tensor, whole[STEPS][name]) for name, tensor in rest[STEPS].items())


def test_a_journal_changes_nothing_nor_does_momentum_zero():
    objective = dl.Objective(plain(), samples((4, 4), 3))
    whole = run(objective, momentum=0.0)[0]
    journaled = run(objective, Kept(), momentum=0.0)[0]
    first = Kept(6)
    with pytest.raises(Interruption):
        run(objective, first, momentum=0.0)
    resumed = run(objective, Kept(state=first.content), momentum=0.0)[0]
    for other in (journaled, resumed):
        assert all(torch.equal(tensor, whole[STEPS][name]) for name, tensor in other[STEPS].items())


def test_the_global_random_state_is_left_alone_by_a_resume():
    torch.manual_seed(0)
    objective = dl.Objective(dropout_net(), samples((16,), 3))
    first = Kept(6)
    with pytest.raises(Interruption):
        run(objective, first)
    before = torch.get_rng_state()
    run(objective, Kept(state=first.content))
    assert torch.equal(torch.get_rng_state(), before)


def test_divergence_is_an_error_that_no_resume_cures():
    from distlandscape.errors import TrainingError

    objective = dl.Objective(plain(), samples((4, 4), 3))
    with pytest.raises(TrainingError, match=r"lower train\.learning_rate"):
        run(objective, learning_rate=1e30)
    one = dl.Objective(dropout_net(), samples((16,), 3))
    with pytest.raises(TrainingError, match=r"change train\.batch_size"):
        run(one, batch_size=1)
