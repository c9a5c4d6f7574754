"""What a refusal advises can be done, and helps: the advice is followed, and the study accepts."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from distlandscape.config import load_config
from distlandscape.errors import InputError
from distlandscape.studies import clustering, emergence, goldilocks, hierarchy, hyperplane
from distlandscape.studies.context import build_objective
from distlandscape.studies.hyperplane import _status
from distlandscape.studies.intrinsic import Crossing
from distlandscape.studies.runner import resolve

STUDIES = {"clustering": clustering, "emergence": emergence, "goldilocks": goldilocks, "hierarchy": hierarchy}
SMALL = ["model.options={hidden: [4]}", "goldilocks.planes=[2]", "goldilocks.dims=[2]"]


def file_of(folder, labels):
    """An npz of samples with those labels."""
    random = np.random.default_rng(0)
    np.savez(folder / "s.npz", x=random.standard_normal((len(labels), 6)).astype(np.float32), y=np.array(labels))
    return ["data.source=npz", f"data.path={folder / 's.npz'}"]


def five_outputs():
    """More outputs than the data have classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5))


def three_outputs():
    """As many as there are classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def checked(study, keys):
    config = resolve(load_config(None, [*SMALL, *keys]), study)
    module = hyperplane if study == "hyperplane" else STUDIES[study]
    module.check(config, build_objective(config))


MINE = "tests.studies.test_advice"
EVEN = [0, 1, 2] * 6
# Labels, further keys, the remedy in the sentence, and the keys that follow it (None: it asks for other data).
CASES = {
    "all samples are used": ([*EVEN, 3], [], "; set data.classes=[0, 1, 2]", ["data.classes=[0, 1, 2]"]),
    "of named classes": (
        [5, 7, 9] * 6 + [4],
        ["data.classes=[9, 4, 5]"],
        "; set data.classes=[9, 5]",
        ["data.classes=[9, 5]"],
    ),
    "some samples are left out": (
        [*EVEN, 3, 3, 3],
        ["data.samples=7"],
        "raise data.samples if the source holds more, or set data.classes=",
        ["data.samples=21"],
    ),
    "a gap between the labels": ([0, 1, 4] * 6, [], "; set data.classes=[0, 1, 4]", ["data.classes=[0, 1, 4]"]),
    "more outputs than classes": (
        EVEN,
        [f"model.name={MINE}:five_outputs", "model.options={}"],
        "; give a model with 3 outputs, as many as the data have classes",
        [f"model.name={MINE}:three_outputs"],
    ),
    "hardly any samples": ([0, 1, 2, 0], [], "; give a source with more samples of each class", None),
}


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("case", CASES)
def test_classes_with_too_few_samples(case, study, tmp_path):
    labels, keys, remedy, follow = CASES[case]
    given = [*file_of(tmp_path, labels), *keys]
    with pytest.raises(InputError, match=re.escape(remedy)) as refused:
        checked(study, given)
    assert ("raise data.samples" in str(refused.value)) == any("samples" in key for key in keys)
    if follow is not None:
        replaced = {key.partition("=")[0] for key in follow}
        checked(study, [*(key for key in given if key.partition("=")[0] not in replaced), *follow])


@pytest.mark.parametrize("study", ["hyperplane", "goldilocks"])
def test_all_samples_are_held_out(study, tmp_path):
    given = [*file_of(tmp_path, EVEN), "hyperplane.dims=[2]"]
    with pytest.raises(InputError, match=rf"{study}.hold_out=0.99 of 18 samples leaves none to train on; lower"):
        checked(study, [*given, f"{study}.hold_out=0.99"])
    checked(study, [*given, f"{study}.hold_out=0.9"])


@pytest.mark.parametrize(
    ("found", "largest", "words"),
    [
        (Crossing(None, None, None, None, None), 50, "add larger hyperplane.dims, or train for longer"),
        (Crossing(None, None, None, None, None), 90, "baseline: train for longer"),
        (Crossing(5, None, 5, None, 5), 50, "add smaller hyperplane.dims"),
        (Crossing(1, None, 1, None, 1), 50, "done"),
    ],
)
def test_only_dimensions_that_exist_are_asked_for(found, largest, words):
    assert words in _status(found, False, "", "", largest, 90)
