"""The clustering and hierarchy studies from the command line: tables, page, mirror, resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.cli.summary import summary_lines
from distlandscape.config import load_config
from distlandscape.runtime import GaussNewton
from distlandscape.runtime.clustering import clustering, freezing
from distlandscape.studies.clustering import holds
from distlandscape.studies.context import build_objective
from tests.report.reading import figures_of, words_of

COMMON = [
    *("data.samples=120", "data.blocks=4", "model.options={hidden: [6]}", "runtime.threads=1", "train.steps=40"),
    *("train.learning_rate=0.05", "train.checkpoints=3", "data.classes=[3, 0, 8]", "objective.dtype=float64"),
]
KEYS = {"clustering": COMMON, "hierarchy": [*COMMON, "hierarchy.tol=1e-6", "hierarchy.kernel=true"]}


def options(keys):
    return [part for key in keys for part in ("--set", key)]


def measured(study, out, capfd, *more):
    arguments = [study, *options(KEYS[study]), *more, "--out", str(out), "--json"]
    assert main(arguments) == 0
    return json.loads(capfd.readouterr().out)


@pytest.fixture(scope="module")
def whole(empty_database, tmp_path_factory):
    """The result of each study, made once."""
    results = {}

    def result(study, capfd):
        if study not in results:
            out = tmp_path_factory.mktemp(study)
            shutil.copy(empty_database, out / "mlflow.db")
            results[study] = measured(study, out, capfd, "--workers", "0")
        return results[study]

    return result


def objectives(study, run):
    """The objective at every checkpoint, in the order of steps."""
    objective = build_objective(load_config(None, KEYS[study]))
    return [objective.with_weights(load_file(file)) for file in sorted(run.path.glob("weights/*.safetensors"))]


def test_clustering_tables_hold_what_is_measured(whole, capfd):
    result = whole("clustering", capfd)
    run = dl.open_run(result["run_dir"])
    rows, cells, pairs, corners = (
        run.table(name).to_pylist() for name in ("checkpoints", "clustering", "logit_pairs", "simplex")
    )
    assert [row["step"] for row in rows] == [0, 1, 40]
    for row, objective in zip(rows, objectives("clustering", run), strict=True):
        found, frozen = clustering(objective), freezing(objective)
        for name in ("q_slsc", "q_sldc", "q_sl", "q_dl", "q_dl_same_sample", "length_mean"):
            assert row[name] == pytest.approx(getattr(found, name), abs=1e-12)
        assert (row["loss"], row["sum_p2"], row["sigma_z"]) == pytest.approx(
            (frozen.loss, frozen.sum_p2, frozen.sigma_z)
        )
        assert row["sum_p2_gaussian"] == pytest.approx(dl.theory.softmax_moments(3, frozen.sigma_z).s)
        mine = [cell for cell in cells if cell["checkpoint"] == row["checkpoint"]]
        assert [(cell["logit"], cell["class"]) for cell in mine] == [(k, c) for k in range(3) for c in range(3)]
        assert [cell["cosine"] for cell in mine] == pytest.approx(found.by_class.ravel().tolist())
    assert result["ordering"]["holds"] == [holds(row) for row in rows]
    assert len(pairs) == 27
    assert len(corners) == 3 * 120
    assert all(c["p0"] + c["p1"] + c["p2"] == pytest.approx(1) for c in corners)
    late = [c for c in corners if c["step"] == 40]
    assert (
        np.mean([np.argmax([c[f"p{k}"] for k in range(3)]) == c["label"] for c in late]) == rows[-1]["accuracy"] > 0.8
    )
    assert any("q_SLSC" in line for line in summary_lines("clustering", result))


def test_hierarchy_tables_hold_what_is_measured(whole, capfd):
    result = whole("hierarchy", capfd)
    run = dl.open_run(result["run_dir"])
    rows, levels, overlaps, traces, dual = (
        run.table(name).to_pylist() for name in ("checkpoints", "levels", "overlaps", "traces", "dual_spectrum")
    )
    last = objectives("hierarchy", run)[-1]
    G = GaussNewton(last).apply(np.eye(last.parameters)).numpy()
    values = np.linalg.eigvalsh(G)[::-1]
    found = [row["eigenvalue"] for row in dual]
    assert np.abs(found - values[: len(found)]).max() < 1e-10 * values[0]
    assert rows[-1]["trace_g"] == pytest.approx(np.trace(G))
    for row in rows:
        assert sum(row[f"share_g{i}"] for i in range(4)) == pytest.approx(1)
        mine = [t for t in traces if t["checkpoint"] == row["checkpoint"]]
        assert [t["share"] for t in mine] == [row[f"share_g{i}"] for i in range(4)]
    assert (rows[0]["kernel_drift"], rows[0]["linearised_error"]) == (0, 0)
    assert rows[-1]["kernel_drift"] > 0.1
    assert rows[-1]["kernel_alignment"] < 0.999
    counts = {name: sum(r["level"] == name and r["step"] == 40 for r in levels) for name in ("H", "G0", "G1", "G2")}
    assert counts == {"H": 5, "G0": 3, "G1": 3, "G2": 3}
    assert len(overlaps) == 3 * 5 * 3
    assert all(-1e-12 <= r["own"] <= r["own_span"] + 1e-9 <= 1 + 1e-8 for r in overlaps)
    assert result["status"] == "converged"
    assert any("cosine²" in line for line in summary_lines("hierarchy", result))


@pytest.mark.parametrize(
    ("study", "figures", "words"),
    [
        ("clustering", ["cosines", "clustering", "lengths", "freezing", "simplex"], "agree with a mean cosine of"),
        ("hierarchy", ["levels", "overlaps", "traces", "kernel"], "lies in the span of the class means"),
    ],
)
def test_page_and_mirror(whole, capfd, study, figures, words):
    result = whole(study, capfd)
    page = Path(result["report"])
    assert list(figures_of(page)) == figures
    for name in figures:
        assert (page.parent / "figures" / f"{name}.png").stat().st_size > 5_000
    seen = words_of(page)
    assert words in seen
    assert "Parts are missing" not in seen
    client = MlflowClient(f"sqlite:///{page.parent.parent / 'mlflow.db'}")
    run = client.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    name = {"clustering": "q_slsc", "hierarchy": "share_g0"}[study]
    history = client.get_metric_history(result["run_id"], name)
    assert [point.step for point in history] == [0, 1, 40]
    assert history[-1].value == result[name]


@pytest.mark.usefixtures("numbers_only")
def test_a_run_cut_off_between_stages_ends_with_the_same_bits(whole, capfd, tmp_path):
    result = whole("hierarchy", capfd)
    folder = tmp_path / Path(result["run_dir"]).name
    shutil.copytree(Path(result["run_dir"]).parent, tmp_path, dirs_exist_ok=True)
    log = folder / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    late = next(i for i, line in enumerate(lines) if "-001" in line and '"stage"' in line)
    log.write_text("".join(lines[:late]))
    for file in [*folder.glob("tables/*"), folder / "result.json", folder / "report.html"]:
        if file.stem != "training":  # the one table that was whole before
            file.unlink()
    assert main(["resume", str(folder), "--json"]) == 0
    capfd.readouterr()
    resumed, before = dl.open_run(folder), dl.open_run(result["run_dir"])
    for file in sorted(before.path.glob("tables/*.parquet")):
        assert resumed.table(file.stem) == before.table(file.stem), file.stem
