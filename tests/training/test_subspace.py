"""Training in planes: against a plain loop, packed against single, members that end early."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

import distlandscape as dl
from distlandscape.errors import InputError, TrainingError
from distlandscape.models import build_model
from distlandscape.training import learning_rate_at, train
from distlandscape.training.batches import batches
from distlandscape.training.projections import make_projection
from distlandscape.training.rows import AllRows
from distlandscape.training.subspace import Recipe, train_pack, weights_along
from tests.helpers import samples

X, Y = samples((1, 6, 6), 3, n=90)
MODELS = {
    "mlp": ("mlp", {"hidden": [8, 8]}),
    "tanh": ("mlp", {"hidden": [8], "activation": "tanh"}),
    "batch norm": ("mlp", {"hidden": [8], "norm": "batch"}),
    "layer norm": ("mlp", {"hidden": [8], "norm": "layer"}),
    "convolution": ("cnn", {"channels": [3, 4]}),
    "convolution, batch norm": ("cnn", {"channels": [3], "norm": "batch"}),
}
RECIPE = Recipe(steps=20, learning_rate=0.05, batch_size=16, evaluate_every=5)


def members(model="mlp", count=3, **more):
    name, options = MODELS[model]
    return [
        dl.Objective(build_model(name, (1, 6, 6), 3, options, seed).double(), (X, Y), **more) for seed in range(count)
    ]


def planes_of(objectives, kind="dense", dim=12):
    return [make_projection(kind, o.parameters, dim, 100 + i) for i, o in enumerate(objectives)]


ROWS, HELD_OUT = AllRows(X[:70], Y[:70]), AllRows(X[70:], Y[70:])


def run(objectives, planes, recipe=RECIPE, seeds=None, **more):
    return train_pack(objectives, planes, seeds or list(range(len(objectives))), ROWS, HELD_OUT, recipe, **more)


def plain(objective, plane, recipe, seed, to_point=lambda u: u):
    """A plain loop with autograd through A w."""
    A = plane.lift(torch.eye(plane.dim, dtype=torch.float64)).T
    w = nn.Parameter(torch.zeros(plane.dim, dtype=torch.float64))
    rule = torch.optim.SGD([w], lr=1.0, momentum=recipe.momentum)
    if recipe.optimizer == "adam":
        rule = torch.optim.Adam([w], lr=1.0)
    model, order = objective.trainable_copy().train(), batches(70, recipe.batch_size, seed)
    losses = []

    def value(x, y):
        theta = to_point(objective.theta + A @ w)
        pieces = dict(zip(objective.names, objective.split(theta), strict=True))
        loss = nn.functional.cross_entropy(functional_call(model, pieces, (torch.tensor(x),)), torch.tensor(y))
        return loss + 0.5 * objective.weight_decay * theta.square().sum(), theta

    for step in range(recipe.steps):
        rows = next(order)
        loss, _ = value(X[rows], Y[rows])
        losses.append(float(loss.detach()))
        rule.zero_grad()
        loss.backward()
        rule.param_groups[0]["lr"] = learning_rate_at(
            step, recipe.steps, recipe.learning_rate, recipe.schedule, recipe.warmup_steps
        )
        rule.step()
    model.eval()
    with torch.no_grad():
        return losses, value(X[70:], Y[70:])[1]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_member_against_a_plain_loop(model, optimizer):
    recipe = dataclasses.replace(
        RECIPE, optimizer=optimizer, evaluate_every=1, schedule="cosine", warmup_steps=3, learning_rate=0.1
    )
    objectives = members(model, 2, weight_decay=0.01)
    planes = planes_of(objectives)
    found = run(objectives, planes, recipe, seeds=[5, 6])
    for member in range(2):
        losses, theta = plain(objectives[member], planes[member], recipe, 5 + member)
        assert [p.batch_loss for p in found[member].curve[1:]] == pytest.approx(losses, rel=1e-10)
        assert torch.allclose(found[member].theta, theta, rtol=0, atol=1e-9)
        assert found[member].distance == pytest.approx(float((theta - objectives[member].theta).norm()), rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["hashed", "fastfood", None])
def test_packed_is_single_to_rounding_and_repeats_to_the_bit(model, kind):
    objectives = members(model)
    planes = None if kind is None else planes_of(objectives, kind)
    packed, again = run(objectives, planes), run(objectives, planes)
    for member, one in enumerate(packed):
        (single,) = run(
            objectives[member : member + 1], None if planes is None else planes[member : member + 1], seeds=[member]
        )
        assert torch.allclose(one.theta, single.theta, rtol=0, atol=1e-10)
        assert one.loss == pytest.approx(single.loss, rel=1e-10)
        assert one.accuracy == single.accuracy
        assert torch.equal(one.theta, again[member].theta)


@pytest.mark.parametrize("model", ["mlp", "convolution, batch norm"])
def test_weights_along_a_training_are_those_it_comes_by(model):
    objectives = members(model)
    recipe = dataclasses.replace(RECIPE, schedule="cosine", optimizer="adam")
    points = weights_along(objectives, [0, 1, 2], ROWS, recipe, [0, 7, 20])
    whole = run(objectives, None, recipe)
    for member, one in enumerate(whole):
        assert torch.equal(points[member, 0], objectives[member].theta)
        assert torch.equal(points[member, 2], one.theta)
        assert 0 < float((points[member, 1] - points[member, 0]).norm()) < float("inf")
    burnt = run(
        objectives, planes_of(objectives), dataclasses.replace(RECIPE, steps=0), burn_in=recipe, burn_in_steps=7
    )
    assert all(torch.equal(one.theta, points[member, 1]) for member, one in enumerate(burnt))


def test_one_plane_for_all_is_the_same_as_equal_planes():
    objectives = members()
    plane = make_projection("dense", objectives[0].parameters, 12, 0)
    shared = run(objectives, [plane] * 3)
    apart = run(objectives, [make_projection("dense", plane.parameters, 12, 0) for _ in range(3)])
    for one, other in zip(shared, apart, strict=True):
        assert torch.allclose(one.theta, other.theta, rtol=0, atol=1e-10)


def test_the_orthonormal_plane_of_all_parameters_is_full_space_for_sgd():
    objectives = members()
    full = run(objectives, None)
    rotated = run(objectives, planes_of(objectives, "cosine", objectives[0].parameters))
    for one, other in zip(full, rotated, strict=True):
        assert torch.allclose(one.theta, other.theta, rtol=0, atol=1e-9)


def test_full_space_is_ordinary_training():
    (objective,) = members(count=1, weight_decay=0.02)
    (found,) = run([objective], None, seeds=[4])
    kept = []
    train(
        dl.Objective(objective.model, (X[:70], Y[:70]), weight_decay=0.02),
        steps=20,
        seed=4,
        learning_rate=0.05,
        momentum=0.9,
        batch_size=16,
        keep_at=[20],
        keep=lambda _, model: kept.append(torch.cat([p.detach().flatten() for p in model.parameters()])),
        report=lambda *_: None,
    )
    assert torch.allclose(found.theta, kept[0], rtol=0, atol=1e-12)


def test_weights_stay_in_the_plane():
    objectives = members()
    planes = planes_of(objectives, "cosine")
    for one, objective, plane in zip(run(objectives, planes), objectives, planes, strict=True):
        moved = one.theta - objective.theta
        assert torch.allclose(plane.lift(plane.pull(moved)), moved, rtol=0, atol=1e-12)
        assert float(moved.norm()) > 0.1


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_members_that_reach_their_aim_leave_and_the_others_go_on_alike(optimizer):
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, steps=40, evaluate_every=2)
    objectives = members(count=4)
    planes = planes_of(objectives)
    whole = run(objectives, planes, recipe)
    ranked = sorted(max(p.accuracy for p in one.curve) for one in whole)
    aim = ranked[2]  # reached by two at least
    early = run(objectives, planes, dataclasses.replace(recipe, stop_at=aim))
    assert {one.status for one in early} >= {"stopped"}
    assert len({one.steps for one in early}) > 1
    for one, long in zip(early, whole, strict=True):
        first = next((p for p in long.curve if p.accuracy >= aim), long.curve[-1])
        assert (one.steps, one.accuracy) == (first.step, first.accuracy)
        assert one.loss == pytest.approx(first.loss, rel=1e-9)
        assert one.status == ("stopped" if first.accuracy >= aim else "finished")


def test_a_member_that_diverges_leaves_the_others_alone():
    objectives = members()
    planes = planes_of(objectives)
    wild = objectives[1].with_weights({k: v * 1e160 for k, v in objectives[1].model.state_dict().items()})
    found = run([objectives[0], wild, objectives[2]], planes)
    calm = run(objectives, planes)
    assert [one.status for one in found] == ["finished", "diverged", "finished"]
    assert (found[1].loss, found[1].accuracy) == (float("inf"), 0.0)
    for place in (0, 2):
        assert torch.allclose(found[place].theta, calm[place].theta, rtol=0, atol=1e-10)


@pytest.mark.parametrize("model", ["mlp", "batch norm"])
def test_a_burnt_in_start_is_the_end_of_a_full_training(model):
    objectives = members(model)
    planes = planes_of(objectives)
    first = dataclasses.replace(RECIPE, steps=7)
    (full, *_) = run(objectives, None, first)
    (burnt, *_) = run(objectives, planes, dataclasses.replace(RECIPE, steps=0), burn_in=RECIPE, burn_in_steps=7)
    assert torch.allclose(burnt.theta, full.theta, rtol=0, atol=1e-12)
    assert burnt.loss == pytest.approx(full.loss, rel=1e-10)
    (later, *_) = run(objectives, planes, burn_in=RECIPE, burn_in_steps=7)
    moved = later.theta - full.theta
    A = planes[0].lift(torch.eye(12, dtype=torch.float64)).T
    inside = A @ torch.linalg.lstsq(A, moved).solution
    assert torch.allclose(inside, moved, rtol=0, atol=1e-9)


def test_random_state_and_models_stay_as_they_were():
    objectives = members("batch norm")
    before = [objective.weights_sha256 for objective in objectives]
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    run(objectives, planes_of(objectives))
    assert torch.equal(torch.rand(1), expected)
    assert [objective.weights_sha256 for objective in objectives] == before


def test_evaluation_is_that_of_the_objective():
    objectives = members("batch norm")
    for one, objective in zip(run(objectives, None, dataclasses.replace(RECIPE, steps=0)), objectives, strict=True):
        z = objective.logits(objective.leaves(), torch.tensor(X[70:])).detach()
        assert one.loss == pytest.approx(float(nn.functional.cross_entropy(z, torch.tensor(Y[70:]))), rel=1e-12)
        assert one.accuracy == float((z.argmax(1).numpy() == Y[70:]).mean())


def test_bad_input():
    objectives = members()
    with pytest.raises(InputError, match="one objective, plane and seed"):
        run(objectives, planes_of(objectives)[:2])
    with pytest.raises(TrainingError, match="does not train on batches of 1"):
        run(members("batch norm"), None, dataclasses.replace(RECIPE, batch_size=1))
    with pytest.raises(InputError, match="optimizer='newton' is unknown"):
        run(objectives, None, dataclasses.replace(RECIPE, optimizer="newton"))


class InPlace(nn.Module):
    """Writes into its samples, which all members of a pack are given."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 2, 3), nn.Linear(32, 3)

    def forward(self, x):
        x += 1
        return self.last(self.conv(x).tanh().flatten(1))


class Branches(nn.Module):
    """Looks at a value, which members computed together do not have."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(36, 3)

    def forward(self, x):
        z = self.last(x.flatten(1))
        return z if float(z.detach().sum()) > 1e9 else z.tanh()


def own(factory, count):
    torch.manual_seed(0)
    return [dl.Objective(factory().double(), (X, Y)) for _ in range(count)]


def test_samples_are_the_same_for_every_member_of_a_pack():
    objectives = own(InPlace, 3)
    packed = run(objectives, planes_of(objectives), seeds=[0, 1, 2])
    for index, objective in enumerate(objectives):
        plane = planes_of(objectives)[index]
        (single,) = run([objective], [plane], seeds=[index])
        assert packed[index].loss == pytest.approx(single.loss, rel=1e-9)


def test_a_model_that_looks_at_values_is_refused_in_words():
    objectives = own(Branches, 2)
    with pytest.raises(InputError, match=r"does not train on batches|fails on some samples"):
        run(objectives, planes_of(objectives))


def test_all_rows_are_those_of_the_store():
    store = dl.data.BlockStore.from_arrays(X, Y, blocks=4)
    rows = AllRows.of(store)
    assert np.array_equal(rows.x, X)
    assert np.array_equal(rows.take(np.array([[3, 80], [1, 0]]))[1], Y[[[3, 80], [1, 0]]])
