"""Models of strangers from the command line: measured, or refused in one sentence before anything is trained."""

from __future__ import annotations

import json

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


def run(study, factory, tmp_path, capfd, *settings):
    """The result of a study, as JSON, and the text of its page."""
    sets = [part for setting in settings for part in ("--set", setting)]
    arguments = [study, *SMALL, "--set", f"model.name={FACTORIES}:{factory}", *sets, "--json"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) in (0, 3), capfd.readouterr().err
    (folder,) = (tmp_path / "out").glob(f"{study}-*")
    return json.loads(capfd.readouterr().out), (folder / "report.html").read_text()


FEW = ("spectrum.k=2", "spectrum.density_steps=5", "spectrum.density_draws=1", "spectrum.trace_probes=2")


def test_view_behind_a_convolution_is_measured(tmp_path, capfd):
    products = [
        run("spectrum", "Viewed", tmp_path / kind, capfd, *FEW, *settings)[0]
        for kind, settings in {"kept": (), "fresh": ("runtime.product=double_backward",)}.items()
    ]
    assert products[0]["eigenvalues"] == products[1]["eigenvalues"]
    run("clustering", "Viewed", tmp_path / "classes", capfd)


def test_what_is_frozen_is_left_out_and_said(tmp_path, capfd):
    _, page = run("spectrum", "frozen", tmp_path, capfd, *FEW)
    assert "90 of 610 parameters; 520 frozen" in page
