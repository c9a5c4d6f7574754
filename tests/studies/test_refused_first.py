"""A model that is refused is refused before anything is trained, and before there is a run directory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distlandscape.cli.main import main
from distlandscape.studies import checkpoints, training_task
from tests.models.factories import Layer, Sign

STUDIES = ("train", "spectrum", "emergence", "clustering", "hierarchy", "hyperplane", "goldilocks")
MINE = "tests.studies.test_refused_first"


class Complex(nn.Module):
    """A layer with complex weights."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.randn(64, 3, dtype=torch.complex64) / 8)

    def forward(self, x):
        return (x.flatten(1).to(self.mix.dtype) @ self.mix).abs()


def complex_weights():
    return Complex()


def coupled():
    """Logits that depend on the other samples of the batch."""
    return Layer(64, 3, lambda x: x - x.mean(0))


def once_differentiable():
    return nn.Sequential(Layer(64, 8, nn.Identity()), Layer(8, 3, Sign.apply))


WORDS = {
    "complex_weights": "'mix' is complex",
    "coupled": "sample",
    "once_differentiable": "has no second derivative",
}


@pytest.fixture
def trained(monkeypatch):
    """Names of the trainings that were begun."""
    begun = []
    monkeypatch.setattr(checkpoints, "train", lambda *a, **k: begun.append("train"))
    monkeypatch.setattr(training_task, "train_pack", lambda *a, **k: begun.append("train_pack"))
    return begun


CASES = [
    *((study, kind) for study in STUDIES for kind in ("complex_weights", "coupled")),
    # Trainings and gradients of logits take one derivative.
    *((study, "once_differentiable") for study in ("spectrum", "emergence", "hierarchy", "goldilocks")),
]


@pytest.mark.parametrize(("study", "kind"), CASES)
def test_nothing_is_trained(study, kind, trained, tmp_path, capfd):
    out = tmp_path / "out"
    keys = ["data.samples=60", "data.classes=[0, 1, 2]", f"model.name={MINE}:{kind}", "train.steps=5"]
    words = [word for key in keys for word in ("--set", key)]
    assert main([study, *words, "--workers", "0", "--out", str(out)]) == 2
    assert trained == []
    assert not list(out.glob("*/run.json"))
    (err,) = (line for line in capfd.readouterr().err.splitlines() if not line.startswith("read "))
    assert WORDS[kind] in err


def test_planes_of_the_hessian_need_two_derivatives(trained, tmp_path, capfd):
    keys = ["data.samples=60", "data.classes=[0, 1, 2]", f"model.name={MINE}:once_differentiable", "train.steps=5"]
    keys += ["hyperplane.kinds=[hessian]", "hyperplane.dims=[2]"]
    words = [word for key in keys for word in ("--set", key)]
    assert main(["hyperplane", *words, "--workers", "0", "--out", str(tmp_path)]) == 2
    assert trained == []
    assert "has no second derivative" in capfd.readouterr().err
