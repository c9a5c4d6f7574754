"""A point stands at the radius asked for, with tied parameters counted once and frozen ones left where they are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.config import load_config
from distlandscape.data import load_source
from distlandscape.runtime import LocalRunner
from distlandscape.runtime.measures import loss_accuracy_gradient
from distlandscape.studies.goldilocks_point import at_radius, radius_of, random_point, scheme_radii
from distlandscape.studies.goldilocks_task import TRAINING, Task, perform


class TiedWeight(nn.Module):
    """One parameter in two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.last(self.second(self.first(x.flatten(1)).tanh()).tanh())


class TiedLayer(TiedWeight):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.second = self.first


def tied_weight():
    return TiedWeight()


def tied_layer():
    return TiedLayer()


KINDS = {"tied_weight": TiedWeight, "tied_layer": TiedLayer}
CHOSEN = [None, ["first.weight"], ["last.*"]]


def config_of(kind, *more):
    keys = ["data.samples=40", "data.classes=[0, 1, 2]", "train.steps=6", "train.batch_size=8", "goldilocks.dims=[5]"]
    return load_config(None, [*keys, f"model.name=tests.studies.test_goldilocks_point:{kind}", *more])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Digits of three classes."""
    return load_source(samples=40, classes=(0, 1, 2), into=tmp_path_factory.mktemp("store") / "s.arrow")


def norm_once(model, chosen):
    """|θ| by torch alone: ``parameters()`` gives a tied one once."""
    kept = [p for name, p in model.named_parameters() if chosen is None or name.startswith(chosen[0].rstrip("*"))]
    return math.sqrt(sum(float(p.detach().double().square().sum()) for p in kept))


@pytest.mark.parametrize("chosen", CHOSEN, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_radius_is_the_one_asked_for(kind, chosen, dtype):
    torch.manual_seed(0)
    model = KINDS[kind]().to(dtype)
    x, y = torch.randn(20, 64, dtype=dtype), torch.arange(20) % 3
    objective = dl.Objective(model, (x, y), parameters=chosen)
    there = at_radius(objective, 10.0)
    # Each entry is rounded once, by at most eps/2 of it, and so is the norm.
    eps = torch.finfo(dtype).eps
    assert radius_of(there) == pytest.approx(10, rel=eps)
    assert norm_once(there.model, chosen) == pytest.approx(10, rel=eps)
    # The same by torch alone: every parameter times the factor, in place, whatever names it has.
    factor = 10 / norm_once(model, chosen)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in there.names:
                parameter.copy_(parameter.double() * factor)
        loss = float(nn.functional.cross_entropy(model(x), y))
    # Both sum the same numbers over 64 inputs of a layer; the loss is of order 1 to 10.
    assert loss_accuracy_gradient(there, LocalRunner())[0] == pytest.approx(loss, rel=64 * eps)


@pytest.mark.parametrize("mode", ["sphere", "free"])
@pytest.mark.parametrize("kind", KINDS)
def test_points_and_trainings_of_a_tied_net_begin_at_their_radius(kind, mode, store):
    config = config_of(kind)
    objective = random_point(config, 3, 1.0, 2.0, store, None, "float64")
    asked = 2 * scheme_radii(objective)["glorot"]
    assert radius_of(objective) == pytest.approx(asked, rel=2 * torch.finfo(torch.float64).eps)
    # Glorot's variance 2/(64 + 64) of 64² entries once, and 2/(64 + 3) of 64 · 3.
    assert asked == pytest.approx(2 * math.sqrt(64 * 64 * 2 / 128 + 64 * 3 * 2 / 67), rel=1e-12)
    task = Task(config, (str(store.path), store.digest), None, TRAINING, 1.0, 2.0, None, (3, 4), mode, 5)
    # On the sphere a row of float32 is multiplied by the quotient of two of its norms, each a pairwise sum of P squares
    # with an error of log2(P)·eps/2 after the root; two more roundings are of the factor and of the product.
    bound = (math.log2(objective.parameters) + 2) * torch.finfo(torch.float32).eps
    for member in perform(task)["members"]:
        assert (abs(member["end_radius"] - asked) / asked < bound) == (mode == "sphere")
