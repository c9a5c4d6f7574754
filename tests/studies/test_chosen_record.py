"""Where some parameters are frozen, record, page and summary say of how many the objective is a function."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.cli.summary import summary_lines
from distlandscape.report import make_report
from distlandscape.report.comparison.side_by_side import QUANTITIES
from distlandscape.report.tables import load
from tests.report.reading import words_of

pytestmark = pytest.mark.usefixtures("numbers_only")

HEAD, REST = 8 * 3 + 3, 64 * 8 + 8
TOLD = f"{HEAD} of {HEAD + REST} parameters; {REST} frozen"


def frozen_below():
    """Only the last layer is to be trained."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3))
    model[1].requires_grad_(False)
    return model


def all_free():
    return frozen_below().requires_grad_(True)


SMALL = {
    "train": [],
    "spectrum": ["spectrum.k=2", "spectrum.density_steps=4"],
    "hyperplane": ["hyperplane.dims=[2]", "hyperplane.rounds=0", "hyperplane.seeds=2", "hyperplane.pack=2"],
}


def run(study, factory, out, capfd):
    keys = ["data.samples=60", "data.classes=[0, 1, 2]", "train.steps=20", *SMALL[study]]
    keys += [f"model.name=tests.studies.test_chosen_record:{factory}"]
    words = [word for key in keys for word in ("--set", key)]
    assert main([study, *words, "--workers", "0", "--out", str(out), "--json"]) in (0, 3)
    return json.loads(capfd.readouterr().out)


@pytest.mark.parametrize("study", SMALL)
def test_what_is_recorded(study, tmp_path, capfd):
    result = run(study, "frozen_below", tmp_path, capfd)
    assert (result["parameters"], result["frozen"], result["described_parameters"]) == (HEAD, REST, TOLD)
    found = dl.open_run(result["run_dir"])
    assert {k: found.identity[k] for k in ("parameters", "frozen")} == {"parameters": HEAD, "frozen": REST}
    assert TOLD in words_of(found.path / "report.html")
    assert f"P = {HEAD} ({TOLD})" in "\n".join(summary_lines(study, result))
    (found.path / "result.json").unlink()  # as while it runs
    assert TOLD in words_of(make_report(found.path))
    assert QUANTITIES["parameters"](load(found)) == TOLD


def test_nothing_more_is_said_where_all_are_free(tmp_path, capfd):
    result = run("train", "all_free", tmp_path, capfd)
    assert (result["parameters"], result["frozen"]) == (HEAD + REST, 0)
    told = "\n".join(summary_lines("train", result))
    assert f"P = {HEAD + REST}\n" in told
    assert "frozen" not in told
    words = words_of(dl.open_run(result["run_dir"]).path / "report.html")
    assert f"{HEAD + REST} parameters" in words
