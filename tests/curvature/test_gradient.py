"""Loss, accuracy and gradient equal the naive computation."""

from __future__ import annotations

import math

import pytest
import torch

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner, loss_accuracy_gradient
from tests.helpers import Dense, heavy_tailed, relative, samples


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", heavy_tailed])
@pytest.mark.parametrize("micro_batch", [1, 6, None])
def test_equal_the_naive_ones(dtype, tolerance, loss, micro_batch):
    x, y = samples((5,), 3)
    model = build_model("mlp", (5,), 3, {"hidden": [6]}, seed=1)
    oracle = Dense(model, x, y, loss)
    objective = dl.Objective(model, BlockStore.from_arrays(x, y, blocks=2), loss, dtype=dtype)
    runner = LocalRunner(micro_batch=micro_batch)
    value, accuracy, gradient = loss_accuracy_gradient(objective, runner)
    assert value == pytest.approx(float(oracle.value(oracle.theta)), rel=tolerance)
    correct = int((oracle.logits(oracle.theta).argmax(1) == oracle.y).sum())
    assert accuracy == correct / 37
    assert 0 < correct < 37
    assert gradient.dtype == dtype
    assert relative(gradient, oracle.gradient()) < tolerance
    assert torch.equal(dl.gradient(objective, runner), gradient)


def test_accuracy_needs_labels():
    x, targets = samples((5,), 3)[0], samples((3,), 3)[0]
    model = build_model("mlp", (5,), 3, {}, seed=1)
    value, accuracy, _ = loss_accuracy_gradient(dl.Objective(model, (x, targets), "mse", dtype=torch.float64))
    assert math.isnan(accuracy)
    oracle = Dense(model, x, targets, "mse")
    assert value == pytest.approx(float(oracle.value(oracle.theta)), rel=1e-13)
