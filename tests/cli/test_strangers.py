"""Models of strangers from the command line: measured, or refused in one sentence before anything is trained."""

from __future__ import annotations

import json
import shutil

import pytest

from distlandscape.cli.main import main

FACTORIES = "tests.models.factories"
SMALL = ["--workers", "0", "--set", "data.samples=60", "--set", "train.steps=4"]
STUDIES = ("train", "spectrum", "clustering", "hierarchy", "emergence", "hyperplane", "goldilocks")
REFUSED = {
    "Fourier": "'turn' is complex",
    "TimeFirst": "batch_first=True",
    "Loudest": "depend on the other samples",
}


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("factory", REFUSED)
def test_refused_before_training(study, factory, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("distlandscape.training.loop.train", None)
    code = main([study, *SMALL, "--set", f"model.name={FACTORIES}:{factory}", "--out", str(tmp_path / "out")])
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert REFUSED[factory] in err
    assert not list((tmp_path / "out").glob("*/run.json"))


@pytest.fixture
def run(tmp_path, empty_database, capfd):
    """Runs a study on a factory's model; gives its result as JSON, and the text of its page."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")

    def go(study, factory, *settings):
        sets = [part for setting in settings for part in ("--set", setting)]
        arguments = [study, *SMALL, "--set", f"model.name={FACTORIES}:{factory}", *sets, "--json"]
        code = main([*arguments, "--out", str(tmp_path)])
        out, err = capfd.readouterr()
        assert code in (0, 3), err
        (folder,) = tmp_path.glob(f"{study}-*")
        return json.loads(out), (folder / "report.html").read_text()

    return go


FEW = ("spectrum.k=2", "spectrum.density_steps=5", "spectrum.density_draws=1", "spectrum.trace_probes=2")


@pytest.mark.parametrize(("study", "settings"), [("spectrum", FEW), ("clustering", ())])
def test_view_behind_a_convolution_is_measured(study, settings, run):
    result, _ = run(study, "Viewed", *settings)
    assert result["parameters"] == 310


def test_what_is_frozen_is_left_out_and_said(run):
    _, page = run("spectrum", "frozen", *FEW)
    assert "90 of 610 parameters; 520 frozen" in page
