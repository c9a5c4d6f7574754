"""The theory command: numbers, tables, page, resume; no network and no data."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from mlflow import MlflowClient

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.studies import theory as study
from distlandscape.theory import RandomModel

KEYS = ["theory.examples=60", "theory.dim=150", "theory.draws=4", "theory.points=3", "theory.planes=[10, 40]"]
WORDS = [word for key in KEYS for word in ("--set", key)]


def run(out, capfd, *more, code=0):
    assert main(["theory", *WORDS, *more, "--workers", "0", "--out", str(out), "--json"]) == code
    return json.loads(capfd.readouterr().out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, empty_database):
    """The undisturbed run."""
    out = tmp_path_factory.mktemp("whole")
    shutil.copy(empty_database, out / "mlflow.db")
    assert main(["theory", *WORDS, "--workers", "0", "--out", str(out)]) == 0
    (path,) = (file.parent for file in out.glob("*/run.json"))
    return dl.open_run(path)


def test_numbers_tables_page_and_mlflow(whole):
    found, result = whole, whole.result
    model = RandomModel(10, 60, 150, 1.0, 1.0, 1.0)
    draws = [RandomModel(10, 60, 150, 1.0, 1.0, 1.0, seed=seed).sample() for seed in range(4)]
    assert result["predicted"]["outlier"] == model.predict().outlier
    assert result["measured"]["top"] == pytest.approx(np.mean([d.eigenvalues[:9].mean() for d in draws]), rel=1e-12)
    table = found.table("draws").to_pydict()
    assert table["confinement"] == pytest.approx([d.confinement for d in draws], rel=1e-9)
    growth = found.table("growth").to_pylist()
    assert len(growth) == 9
    for row in growth:
        assert row["sigma_c"] == pytest.approx(row["sigma_z"] ** (row["alpha"] / 2))
    planes = found.table("planes").to_pydict()
    assert [planes["plane"].count(d) for d in (10, 40)] == [10, 40]
    assert sum(planes["curvature"][:10]) == pytest.approx(draws[0].trace * 10 / 150, rel=0.35)
    page = (found.path / "report.html").read_text(encoding="utf-8")
    assert "the random model of clustered logit gradients" in page
    assert "Outliers are predicted at" in page
    assert sorted(file.stem for file in (found.path / "figures").iterdir()) == [
        "draws",
        "growth",
        "model_spectrum",
        "planes",
    ]
    metrics = MlflowClient(f"sqlite:///{found.path.parent}/mlflow.db").get_run(result["run_id"]).data.metrics
    assert metrics["predicted/outlier"] == result["predicted"]["outlier"]


@pytest.mark.usefixtures("numbers_only")
def test_a_crash_between_parts_is_resumed_to_the_same_numbers(whole, tmp_path, capfd, monkeypatch):
    real = study.perform

    def crash(task):
        if task.kind == "plane":
            raise MemoryError("on purpose")
        return real(task)

    monkeypatch.setattr(study, "perform", crash)
    assert main(["theory", *WORDS, "--workers", "0", "--out", str(tmp_path)]) == 1
    monkeypatch.setattr(study, "perform", real)
    capfd.readouterr()
    (path,) = [file.parent for file in tmp_path.glob("*/run.json")]
    assert dl.open_run(path).stages() == ["draws", "growth"]
    assert main(["resume", str(path), "--json"]) == 0
    resumed = json.loads(capfd.readouterr().out)
    for name in ("predicted", "measured", "stderr", "planes", "metrics"):
        assert resumed[name] == whole.result[name], name


@pytest.mark.usefixtures("numbers_only")
def test_further_parameter_sets(tmp_path, capfd):
    sets = "theory.sets=[{sigma_z: 2.0}, {classes: 4, sigma_c: 0.5}]"
    result = run(tmp_path, capfd, "--set", sets)
    found = dl.open_run(result["run_dir"])
    rows = found.table("sets").to_pylist()
    assert [(row["classes"], row["sigma_c"], row["sigma_z"]) for row in rows] == [(10, 1.0, 2.0), (4, 0.5, 1.0)]
    model = RandomModel(4, 60, 150, 0.5, 1.0, 1.0)
    draws = [RandomModel(4, 60, 150, 0.5, 1.0, 1.0, seed=seed).sample() for seed in range(4)]
    assert rows[1]["outlier"] == pytest.approx(np.mean([d.eigenvalues[:3].mean() for d in draws]), rel=1e-12)
    assert rows[1]["predicted_outlier"] == model.predict().outlier
    assert "Further parameter sets" in (found.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("numbers_only")
def test_below_the_threshold(tmp_path, capfd):
    result = run(tmp_path, capfd, "--set", "theory.sigma_c=0", "--set", "theory.points=2")
    assert result["predicted"]["outlier"] is None
    assert "No outliers are predicted above" in (dl.open_run(result["run_dir"]).path / "report.html").read_text()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("theory.classes=1", "greater than or equal to 2"),
        ("theory.examples=0", "greater than or equal to 1"),
        ("theory.dim=-5", "greater than or equal to 2"),
        ("theory.sigma_c=-1", "greater than or equal to 0"),
        ("theory.sigma_e=0", "greater than 0"),
        ("theory.sigma_z=nan", "finite"),
        ("theory.labels=true_ones", "'sampled', 'uniform' or 'argmax'"),
        ("theory.planes=[10, 2000]", "reach beyond theory.dim=150"),
        ("theory.dim=100000000", "lower one of them"),
        ("theory.draws=1", "greater than or equal to 2"),
        ("theory.growth=[-1]", "greater than or equal to 0"),
        ("theory.sets=[{classes: 1}]", "'theory.sets.0.classes' is 1"),
        ("theory.sets=[{planes: 2}]", "unknown configuration key"),
        ("theory.sets=5", "it must be a list"),
        ("theory.size=3", "unknown configuration key 'theory.size'"),
    ],
)
def test_bad_input(tmp_path, capfd, key, message):
    assert main(["theory", *WORDS, "--set", key, "--out", str(tmp_path / "out")]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.glob("out/*"))
