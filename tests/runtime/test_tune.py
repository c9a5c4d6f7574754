"""The probe picks what a fake clock says is fastest, and only what is allowed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.curvature import gauss_newton_products, hessian_products, residual_products
from distlandscape.curvature.hessian import SecondDerivative
from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner, tune
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.tune import Question, pick
from tests.curvature.test_methods import WrongCube
from tests.helpers import samples

SHAPE, C = (2, 6, 6), 3
ALL = ((hessian_products, ()), (gauss_newton_products, ()), (residual_products, ()))
PLENTY = ProductPlan(memory=2**40)


def images():
    """N = 83 in 4 blocks."""
    model = build_model("cnn", SHAPE, C, {"channels": [4]}, seed=0)
    return dl.Objective(model, BlockStore.from_arrays(*samples(SHAPE, C, n=83), blocks=4), dtype=torch.float32)


def columns(*layers):
    return dl.Objective(nn.Sequential(nn.Linear(4, C), *layers), samples((4,), C, n=83), dtype=torch.float32)


class Clock:
    """Stands still but for the products, which take what a test says."""

    def __init__(self, monkeypatch, *, linearise=3.0, vector=2.0, forward=4.0, channels_last=1.0):
        self.now, self.sizes = 0.0, set()
        clock, make, forwards = self, SecondDerivative.linearise, SecondDerivative.forward

        def factor(batch):
            clock.sizes.add(len(batch.x))
            return channels_last if batch.x.ndim == 4 and batch.x.stride()[1] == 1 else 1.0

        class Slow:
            def __init__(self, linear, factor):
                self.linear, self.roots, self.factor = linear, linear.roots, factor

            def __call__(self, V_KP, *arguments):
                clock.now += vector * self.factor
                return self.linear(V_KP, *arguments)

        def linearised(product, objective, batch):
            clock.now += linearise * factor(batch)
            return Slow(make(product, objective, batch), factor(batch))

        def forwarded(product, objective, batch, V_KP, *arguments):
            clock.now += forward * factor(batch)
            return forwards(product, objective, batch, V_KP, *arguments)

        monkeypatch.setattr(SecondDerivative, "linearise", linearised)
        monkeypatch.setattr(SecondDerivative, "forward", forwarded)
        monkeypatch.setattr(tune, "clock", lambda: self.now)


def test_the_fastest_is_picked_and_all_times_are_told(monkeypatch):
    clock, objective = Clock(monkeypatch, linearise=3, vector=2, forward=4), columns()
    plan, seconds = pick(Question(objective, ALL, PLENTY))
    assert seconds == {"kept": 2, "double_backward": 5, "forward_over_reverse": 4}
    assert plan == PLENTY
    assert max(clock.sizes) == len(objective.data.block(0)[0])  # a micro-batch never holds more
    Clock(monkeypatch, linearise=3, vector=2, forward=1)
    assert pick(Question(columns(), ALL, PLENTY))[0] == ProductPlan("forward_over_reverse", 2**40)


def test_a_micro_batch_and_no_more_is_computed(monkeypatch):
    clock = Clock(monkeypatch)
    pick(Question(columns(), ALL, PLENTY, methods=("kept",), micro_batch=3))
    assert clock.sizes == {3}


@pytest.mark.parametrize(("methods", "best"), [(("kept", "double_backward"), "kept"), (("double_backward",),) * 2])
def test_what_is_not_in_question_is_not_picked(monkeypatch, methods, best):
    Clock(monkeypatch, forward=0.1)
    plan, seconds = pick(Question(columns(), ALL, ProductPlan(methods[0], 2**40), methods))
    assert plan.method == (best if isinstance(best, str) else best[0])
    assert set(seconds) == set(methods)


def test_keeping_counts_by_what_fits(monkeypatch):
    """The budget of all workers over the bytes of all linearisations."""
    Clock(monkeypatch, linearise=3, vector=2, forward=4)
    objective = columns()
    batch = dl.objective.Batch(*objective.tensors(*objective.data.block(0), torch.device("cpu")), 0)
    each = tune.held_bytes(hessian_products.linearise(objective, batch).roots) / len(batch.x)
    whole = each * objective.samples
    for workers, memory in ((1, whole / 2), (2, whole / 4)):
        plan = ProductPlan(memory=round(memory))
        picked, seconds = pick(Question(objective, ALL, plan, workers=workers))
        assert seconds["kept"] == pytest.approx(0.5 * 2 + 0.5 * 5, abs=0.02)
        assert picked == plan
    picked, seconds = pick(Question(objective, ALL, ProductPlan(memory=round(whole / 10))))
    assert seconds["kept"] == pytest.approx(0.1 * 2 + 0.9 * 5, abs=0.02)
    assert picked.method == "forward_over_reverse"  # 4 against 4.7
    monkeypatch.setattr(tune, "available_memory", lambda device: None)  # then nothing is kept at all
    assert pick(Question(objective, ALL, ProductPlan()))[1]["kept"] == 5
    monkeypatch.setattr(tune, "available_memory", lambda device: round(whole))  # half of it is left to others
    assert pick(Question(objective, ALL, ProductPlan()))[1]["kept"] == pytest.approx(0.5 * 2 + 0.5 * 5, abs=0.02)


def test_a_gain_within_noise_changes_nothing(monkeypatch):
    Clock(monkeypatch, vector=2, forward=1.95)
    assert pick(Question(columns(), ALL, PLENTY))[0] == PLENTY
    Clock(monkeypatch, vector=2, forward=1.85)
    assert pick(Question(columns(), ALL, PLENTY))[0].method == "forward_over_reverse"


@pytest.mark.parametrize(("factor", "expected"), [(0.5, True), (2.0, False)])
def test_images_are_tried_in_both_layouts(monkeypatch, factor, expected):
    Clock(monkeypatch, channels_last=factor)
    plan, seconds = pick(Question(images(), ALL, PLENTY))
    assert plan == ProductPlan("kept", 2**40, channels_last=expected)
    assert seconds["kept"] == factor * seconds["kept, channels first"]
    assert len(seconds) == 6
    for layout in (False, True):
        plan, seconds = pick(Question(images(), ALL, ProductPlan("kept", 2**40, layout), layouts=(layout,)))
        assert (plan.channels_last, len(seconds)) == (layout, 3)


def test_forward_mode_that_is_wrong_does_not_take_part(monkeypatch):
    Clock(monkeypatch, forward=0.01)
    _, seconds = pick(Question(columns(WrongCube()), ALL, PLENTY))
    assert set(seconds) == {"kept", "double_backward"}


def test_with_the_real_clock_the_pick_gives_the_same_numbers():
    objective = images()
    question = pickle.loads(pickle.dumps(Question(objective, ALL, ProductPlan())))  # noqa: S301
    plan, seconds = pick(question)
    assert len(seconds) == 6
    assert all(0 < value < np.inf for value in seconds.values())
    v = torch.randn(objective.parameters, generator=torch.Generator().manual_seed(0))
    plain, picked = (dl.Hessian(objective, LocalRunner(plan=p)) @ v for p in (ProductPlan(), plan))
    torch.testing.assert_close(picked, plain, rtol=1e-4, atol=1e-6)
