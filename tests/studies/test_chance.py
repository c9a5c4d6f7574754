"""Nothing to reach where the full space is at chance: the rule by counting, and what command, page and tables say."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.cli.summary import summary_lines
from distlandscape.studies.chance import Chance
from tests.report.reading import words_of

pytestmark = pytest.mark.usefixtures("numbers_only")

WORDS = [
    word
    for key in (
        "data.samples=300",
        "data.classes=[0, 1]",
        "model.options={hidden: [12]}",
        "train.steps=30",
        "train.batch_size=32",
        "train.optimizer=adam",
        "train.learning_rate=0.01",
        "hyperplane.learning_rate=0.1",
        "hyperplane.dims=[2, 8]",
        "hyperplane.rounds=1",
        "hyperplane.seeds=3",
        "hyperplane.pack=3",
    )
    for word in ("--set", key)
]


def run(out, capfd, *keys, code):
    sets = [word for key in keys for word in ("--set", key)]
    assert main(["hyperplane", *WORDS, *sets, "--workers", "0", "--out", str(out), "--json"]) == code
    return json.loads(capfd.readouterr().out)


def test_chance_is_the_largest_class_and_its_error_has_two_parts():
    chance = Chance.of(np.array([3, 1, 3, 3, 0, 1, 3, 3]))
    assert (chance.share, chance.samples) == (5 / 8, 8)
    accuracies = [0.75, 0.875, 1.0]
    binomial, spread = (5 / 8) * (3 / 8) / 8, 0.125**2 / 3  # of three numbers 1/8 apart the variance is 1/8²
    assert chance.error(accuracies) == pytest.approx(math.sqrt(binomial + spread), rel=1e-12)
    assert chance.error([0.9]) == pytest.approx(math.sqrt(binomial), rel=1e-12)


def test_two_errors_let_one_network_at_chance_of_forty_pass():
    """Constant scores of many networks on fair coins: the share that beats chance is a normal's beyond 2, 2.3 %."""
    random = np.random.default_rng(0)
    chance, networks = Chance(0.5, 400), 4000
    passed = np.mean([chance.beaten_by([k / 400] * 3) for k in random.binomial(400, 0.5, networks)])
    # Binomial: P(k > 220 of 400) = 2.01 %; four errors of a share of 4000 draws.
    assert passed == pytest.approx(0.0201, abs=4 * math.sqrt(0.0201 * 0.98 / networks))


@pytest.mark.parametrize(
    ("baseline", "share", "words"),
    [
        ([0.516, 0.52, 0.51], 0.9, "do not exceed the 50.0 % of a constant answer by 2 standard errors"),
        ([0.0, 0.0, 0.0], 0.9, "the full space's 0.0 % do not exceed"),
        ([0.55, 0.55, 0.55], 0.9, "90 % of the full space's 55.0 % are no more than the 50.0 %"),
        ([0.95, 0.97, 0.96], 0.9, ""),
    ],
)
def test_what_is_nothing_to_reach(baseline, share, words):
    found = Chance(0.5, 4000).why_nothing_to_reach(baseline, share)
    assert words in found
    assert bool(found) == bool(words)


def test_random_labels_have_no_dimension_to_look_for(tmp_path, capfd):
    result = run(tmp_path, capfd, "data.random_labels=1", code=3)
    assert result["chance"]["samples"] == 60
    assert result["nothing_to_reach"]
    assert result["status"].startswith("nothing to reach: the full space's")
    assert "set hyperplane.evaluate_on=train" in result["status"]
    assert "dims" not in result["status"]
    assert result["d_int90"] == {
        "value": None,
        "low": None,
        "high": None,
        "baseline": result["d_int90"]["baseline"],
        "threshold": None,
        "below": None,
        "at": None,
    }
    assert result["trainings"] == 9  # nothing is refined
    assert result["metrics"] == {}
    assert not any("success" in row for row in result["dimensions"])
    told = "\n".join(summary_lines("hyperplane", result))
    assert "nothing to reach" in told
    assert "d_int90" not in told
    page = words_of(dl.open_run(result["run_dir"]).path / "report.html")
    assert "There is no dimension to look for" in page
    assert "at most 2" not in page


def test_a_target_that_a_constant_answer_reaches_has_no_dimension(tmp_path, capfd):
    """Two classes of 60 samples: the larger one has half of them at least."""
    keys = ("hyperplane.target_accuracy=0.5", "hyperplane.rounds=0", "train.steps=100")
    result = run(tmp_path, capfd, *keys, code=3)
    assert result["chance"]["accuracy"] >= 0.5
    assert "hyperplane.target_accuracy=0.5 is no more than the 5" in result["status"]
    assert [result["target"][name] for name in ("value", "threshold", "at")] == [None, None, None]
    assert result["d_int90"]["threshold"] is not None
    assert not any("success" in row for row in result["dimensions"])
    page = words_of(dl.open_run(result["run_dir"]).path / "report.html")
    assert "dimension for 50" in page
    assert "nothing to reach" in page
    assert "of a constant answer, so every dimension would reach it" in page


def test_how_well_random_labels_are_learnt_is_measured_on_the_samples_trained_on(tmp_path, capfd):
    keys = ("data.random_labels=1", "hyperplane.evaluate_on=train", "train.steps=150", "data.samples=80")
    keys += ("model.options={hidden: [64]}", "hyperplane.dims=[2, 1000]", "hyperplane.rounds=0")
    result = run(tmp_path, capfd, *keys, code=0)
    assert result["evaluated_on"] == "the samples trained on"
    assert result["chance"]["samples"] == 64
    assert result["d_int90"]["baseline"] > 0.9
    assert result["d_int90"]["below"] == 2
    assert "on the samples trained on" in "\n".join(summary_lines("hyperplane", result))
    page = (dl.open_run(result["run_dir"]).path / "report.html").read_text(encoding="utf-8")
    assert "accuracy, trained on" in page
    assert "accuracy, held out" not in page


def test_trainings_do_not_depend_on_where_they_are_evaluated(tmp_path, capfd):
    distances = []
    for where in ("test", "train"):
        result = run(tmp_path / where, capfd, f"hyperplane.evaluate_on={where}", "hyperplane.dims=[2, 100]", code=0)
        distances.append(dl.open_run(result["run_dir"]).table("trainings").column("distance").to_pylist())
    assert distances[0] == distances[1]
