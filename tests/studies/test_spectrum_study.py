"""The spectrum study from the command line: what it writes, and that no crash or worker count moves a bit."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.config import load_config
from distlandscape.studies import spectrum
from distlandscape.studies.context import build_objective
from distlandscape.studies.journal import RunJournal

SMALL = [
    *("--set", "data.samples=300", "--set", "model.options={hidden: [6]}", "--set", "train.steps=60"),
    *("--set", "train.checkpoints=3", "--set", "spectrum.k=10", "--set", "spectrum.lowest=2"),
    *("--set", "spectrum.density_steps=30", "--set", "spectrum.trace_probes=4", "--set", "runtime.threads=1"),
]
NUMBERS = ("eigenvalues", "residuals", "lowest", "lowest_residuals", "trace", "frobenius", "trust", "passes", "loss")
KEYS = {
    *("run_id", "run_dir", "report", "weights", "eigenvalues", "residuals", "status", "passes", "parameters"),
    *("samples", "trace", "frobenius", "wall_s", "workers", "transport", "trust"),
}


def command(*arguments):
    return [sys.executable, "-m", "distlandscape.cli.main", *arguments]


@pytest.fixture
def out(tracked, tmp_path):
    return tracked(tmp_path / "out")


@pytest.fixture(scope="module")
def local_run(tmp_path_factory, empty_database):
    """The result of the undisturbed run; the one that is disturbed has a process of its own."""
    out = tmp_path_factory.mktemp("local")
    shutil.copy(empty_database, out / "mlflow.db")
    assert main(["spectrum", *SMALL, "--workers", "0", "--out", str(out)]) == 0
    (path,) = out.glob("spectrum-*")
    return dl.open_run(path).result


def same_numbers(result, reference):
    for key in NUMBERS:
        assert result[key] == reference[key], key


def test_result_has_every_promised_key(local_run):
    assert set(local_run) >= KEYS
    assert local_run["workers"] == 0
    assert len(local_run["eigenvalues"]) == 10
    assert local_run["status"] == "converged"


def test_eigenvalues_agree_with_the_dense_hessian(local_run):
    config = load_config(None, [a for a in SMALL if a != "--set"] + ["objective.dtype=float64", "data.blocks=2"])
    objective = build_objective(config)
    H = dl.Hessian(objective.with_weights(load_file(local_run["weights"])))
    exact = np.linalg.eigvalsh(H.apply(torch.eye(objective.parameters, dtype=torch.float64)).numpy())[::-1]
    norm = np.abs(exact).max()
    assert np.abs(np.array(local_run["eigenvalues"]) - exact[:10]).max() < 1e-5 * norm
    assert np.abs(np.array(local_run["lowest"]) - exact[-2:]).max() < 1e-5 * norm
    assert abs(local_run["trace"]["value"] - exact.sum()) < 5 * local_run["trace"]["stderr"]
    frobenius = np.sqrt((exact**2).sum())
    assert abs(local_run["frobenius"]["value"] - frobenius) < 5 * local_run["frobenius"]["stderr"]


def test_run_directory_opens_and_holds_tables_figures_and_page(local_run):
    run = dl.open_run(local_run["run_dir"])
    assert run.status == "done"
    assert run.run_id == local_run["run_id"]
    density = run.table("density")
    assert np.isclose(np.sum(density["weight"].to_numpy()), 1.0)
    confinement = run.table("confinement").to_pylist()
    assert {row["label"] for row in confinement} == {"C-1", "C", "10"}
    assert all(0 <= row["fraction"] <= 1 + 1e-6 for row in confinement)
    assert all(row["null_uniform"] == row["k"] / local_run["parameters"] for row in confinement)
    assert {p.name for p in (run.path / "figures").glob("*.png")} >= {"density.png", "eigenvalues.png"}
    assert not (run.path / "basis").exists()
    assert pq.read_table(run.path / "tables" / "checkpoints.parquet").num_rows == 3


def test_mlflow_knows_the_run_by_the_same_id(local_run):
    client = MlflowClient(f"sqlite:///{Path(local_run['run_dir']).parent / 'mlflow.db'}")
    parent = client.get_run(local_run["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trace"] == local_run["trace"]["value"]
    children = client.search_runs(
        [parent.info.experiment_id], filter_string=f"tags.`mlflow.parentRunId` = '{local_run['run_id']}'"
    )
    assert len(children) == 3
    names = {artifact.path for artifact in client.list_artifacts(local_run["run_id"])}
    assert {"report.html", "tables", "figures"} <= names


def test_sigterm_marks_the_run_and_leaves_it_resumable(local_run, out, capfd):
    process = subprocess.Popen(
        command("spectrum", *SMALL, "--workers", "0", "--out", str(out)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_log(out, process, '"name": "eigenpairs-000"')
    process.terminate()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    (run_dir,) = out.glob("spectrum-*")
    assert f"distlandscape resume {run_dir}" in stderr
    assert dl.open_run(run_dir).status == "interrupted"
    assert main(["resume", str(run_dir), "--json"]) == 0
    same_numbers(json.loads(capfd.readouterr().out), local_run)
    assert main(["resume", str(run_dir)]) == 2  # finished runs are not run again


@pytest.mark.usefixtures("numbers_only")
def test_unconverged_is_said_and_exits_3(out, capfd):
    code = main(["spectrum", *SMALL, "--workers", "0", "--set", "spectrum.max_steps=13", "--json", "--out", str(out)])
    captured = capfd.readouterr()
    assert code == 3
    result = json.loads(captured.out)
    assert set(result) >= KEYS
    assert result == dl.open_run(result["run_dir"]).result
    assert "raise max_steps" in result["status"]
    assert not all(result["converged"])


def test_tracking_server_away_is_a_warning(out, capfd):
    options = ["--set", "tracking.uri=http://127.0.0.1:9", "--set", "train.checkpoints=1"]
    began = time.monotonic()
    code = main(["spectrum", *SMALL, *options, "--workers", "0", "--json", "--out", str(out)])
    assert time.monotonic() - began < 90
    captured = capfd.readouterr()
    assert code == 0, captured.err
    assert json.loads(captured.out)["status"] == "converged"
    assert "mlflow-sync" in captured.err


def _wait_for_log(out, process, text, count=1):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be disturbed"
        if any(file.read_text().count(text) >= count for file in out.glob("*/log.jsonl")):
            return
        time.sleep(0.02)
    pytest.fail(f"{text} did not appear in the log")


WARM = ("data.samples=100", "data.blocks=1", "model.options={hidden: [6]}", "train.steps=20", "train.checkpoints=3")
FEW = ("spectrum.k=3", "spectrum.density_steps=5", "spectrum.trace_probes=2", "runtime.threads=1")


@pytest.mark.usefixtures("numbers_only")
@pytest.mark.parametrize("stage", [1, 2])
def test_a_warm_start_comes_from_the_checkpoint_before_and_resumes_to_the_same_bits(out, capfd, monkeypatch, stage):
    """Cut off inside the run of a checkpoint, whose start is then read from the stage before."""
    settings = [f"--set={s}" for s in (*WARM, *FEW, "spectrum.warm_start=true")]
    arguments = ["spectrum", *settings, "--workers", "0", "--json", "--out", str(out)]
    real, starts = spectrum.top_eigenpairs, []

    def watched(*given, start, **options):
        starts.append(start)
        return real(*given, start=start, **options)

    monkeypatch.setattr(spectrum, "top_eigenpairs", watched)
    assert main(arguments) == 0
    whole = json.loads(capfd.readouterr().out)
    run = dl.open_run(whole["run_dir"])
    assert starts[0] is None
    for index, start in enumerate(starts[1:]):
        before = run.stage(f"eigenpairs-{index:03d}")
        assert np.array_equal(start.eigenvectors.numpy(), before.arrays["eigenvectors"])
        assert start.seed == before.values["seed"]

    def stops(journal, name, step, note):
        if journal._stage == f"eigenpairs-{stage:03d}" and step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(RunJournal, "progress", stops)
        assert main(arguments) == 130
    capfd.readouterr()
    (cut,) = (run for run in map(dl.open_run, out.glob("spectrum-*")) if run.status == "interrupted")
    assert main(["resume", str(cut.path), "--json"]) == 0
    same_numbers(json.loads(capfd.readouterr().out), whole)
    for index in range(3):
        ours, theirs = (r.stage(f"eigenpairs-{index:03d}") for r in (cut, run))
        assert ours.values == theirs.values
        assert all(np.array_equal(ours.arrays[key], theirs.arrays[key]) for key in theirs.arrays)
