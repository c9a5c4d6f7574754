"""Layers: every block against the dense Hessian's, whatever cuts the run off; unknown layers are said before it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.config import load_config
from distlandscape.errors import InputError
from distlandscape.objective.layers import chosen_layers, layers
from distlandscape.studies import spectrum
from distlandscape.studies.context import build_objective
from distlandscape.studies.layers import layers_status

SMALL = ["data.samples=120", "model.options={hidden: [5]}", "train.steps=40", "spectrum.k=2", "objective.dtype=float64"]
SMALL += ["spectrum.density_steps=10", "spectrum.layers=all", "spectrum.layer_density_steps=8", "runtime.threads=1"]


def arguments(out: Path, *more: str) -> list[str]:
    options = [part for a in (*SMALL, *more) for part in ("--set", a)]
    return ["spectrum", *options, "--workers", "0", "--json", "--out", str(out)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, empty_database):
    """The undisturbed run."""
    out = tmp_path_factory.mktemp("whole")
    shutil.copy(empty_database, out / "mlflow.db")
    assert main(arguments(out)) == 0
    (path,) = out.glob("spectrum-*")
    return dl.open_run(path)


def test_blocks_agree_with_the_dense_hessian(whole):
    run, result = whole, whole.result
    objective = build_objective(load_config(None, SMALL)).with_weights(load_file(result["weights"]))
    H = dl.Hessian(objective).apply(torch.eye(objective.parameters, dtype=torch.float64)).numpy()
    table, densities = run.table("layers"), run.table("layer_densities").to_pylist()
    assert table.to_pylist() == result["layers"]
    names, start = layers(objective.names), 0
    assert [row["layer"] for row in result["layers"]] == list(names)
    assert len(names) == 2
    for row in result["layers"]:
        block = H[start : start + row["parameters"], start : start + row["parameters"]]
        start += row["parameters"]
        values = np.linalg.eigvalsh((block + block.T) / 2)
        assert row["converged"]
        assert abs(row["eigenvalue"] - values[-1]) <= row["residual"] + 1e-12
        assert row["residual"] <= 1e-3 * values[-1]
        assert abs(row["trace"] - values.sum()) <= 5 * row["trace_stderr"] + 1e-12
        assert abs(row["share"] - values.sum() / np.trace(H)) <= 5 * row["share_stderr"] + 1e-12
        mine = [d for d in densities if d["layer"] == row["layer"]]
        assert sum(d["weight"] for d in mine) == pytest.approx(1)
        assert {d["draw"] for d in mine} == {-1, 0}
        mean = sum(d["weight"] * d["node"] for d in mine)
        assert mean * row["parameters"] == pytest.approx(values.sum(), rel=0.8)
    assert start == len(H)
    assert sum(row["trace"] for row in result["layers"]) == pytest.approx(
        np.trace(H), abs=5 * np.hypot(*(row["trace_stderr"] for row in result["layers"]))
    )
    negative = result["density"]["negative"]
    assert negative["low"] <= (np.linalg.eigvalsh(H) < 0).sum() <= negative["high"]
    assert (run.path / "figures" / "layers.png").exists()
    assert "Layer by layer" in (run.path / "report.html").read_text()


@pytest.mark.usefixtures("numbers_only")
def test_a_run_cut_off_between_layers_gives_the_same_bits(whole, tmp_path, capfd, monkeypatch):
    real, calls = spectrum.measure_layers.__globals__["_measure"], []

    def fails_second(context, operator, journal):
        calls.append(operator.shape[0])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(context, operator, journal)

    monkeypatch.setitem(spectrum.measure_layers.__globals__, "_measure", fails_second)
    assert main(arguments(tmp_path)) == 130
    capfd.readouterr()
    (cut,) = map(dl.open_run, tmp_path.glob("spectrum-*"))
    assert cut.status == "interrupted"
    assert cut.table("layers").num_rows == 1
    assert main(["resume", str(cut.path), "--workers", "0", "--json"]) == 0
    resumed = json.loads(capfd.readouterr().out)
    assert resumed["layers"] == whole.result["layers"]
    assert resumed["passes"] == whole.result["passes"]
    assert len(calls) == 3  # the first layer is not measured again


@pytest.mark.usefixtures("numbers_only")
def test_a_layer_that_has_not_converged_is_said(tmp_path, capfd):
    assert main(arguments(tmp_path, "spectrum.max_steps=3", "spectrum.tol=1e-9", "spectrum.density_target=0.3")) == 3
    result = json.loads(capfd.readouterr().out)
    assert "the largest eigenvalue of 2 of 2 layers has not converged: raise max_steps" in result["status"]
    assert layers_status([]) == layers_status([{"converged": True}]) == "converged"


def test_choosing_layers():
    names = ["cls", "stem.weight", "block.0.conv.weight", "block.0.conv.bias", "block.1.conv.weight", "head.bias"]
    assert list(layers(names)) == ["cls", "stem", "block.0.conv", "block.1.conv", "head"]
    assert layers(names)["block.0.conv"] == names[2:4]
    assert list(chosen_layers(names, ["*"])) == list(layers(names))
    assert list(chosen_layers(names, ["head", "block"])) == ["block.0.conv", "block.1.conv", "head"]
    assert list(chosen_layers(names, ["block.*.conv", "cls"])) == ["cls", "block.0.conv", "block.1.conv"]
    with pytest.raises(
        InputError, match=r"no layer matches 'tail'; there are cls, stem, block.0.conv, block.1.conv, h"
    ):
        chosen_layers(names, ["head", "tail"])
    with pytest.raises(InputError, match="names no layer; give all, or at least one pattern"):
        chosen_layers(names, [])
    with pytest.raises(InputError, match=r"there are a0, .*, a11 and 8 more$"):
        chosen_layers([f"a{i}.weight" for i in range(20)], ["b"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[fc9]", "no layer matches 'fc9'; there are "),
        ("[]", "names no layer"),
        ("conv1", r"'spectrum.layers' is 'conv1', but it must be all, or a list of patterns of layer names, for"),
        ("3", "'spectrum.layers' is 3, but it must be a list"),
    ],
)
def test_bad_layers_are_refused_before_anything_is_measured(value, message, tmp_path, capfd):
    assert main(arguments(tmp_path, f"spectrum.layers={value}")) == 2
    assert re.search(message, capfd.readouterr().err)
    assert not list(tmp_path.glob("spectrum-*"))


def test_an_objective_of_other_parameters_shares_its_model():
    objective = build_objective(load_config(None, SMALL))
    names = list(layers(objective.names).values())[1]
    other = objective.with_parameters(names)
    assert other.model is objective.model
    assert other.names == names
    assert torch.equal(other.theta, objective.theta[-other.parameters :])
    assert (objective.parameters, len(objective.theta)) == (sum(objective.sizes), objective.parameters)
    again = dl.Objective(objective.model, objective.data, parameters=names, dtype=torch.float64)
    v = torch.randn(other.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dl.Hessian(other) @ v, dl.Hessian(again) @ v)
    with pytest.raises(InputError, match="no parameter matches 'tail'"):
        objective.with_parameters(["tail"])
