"""The train study from the command line: what it writes, and that a kill in mid-training moves no bit."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.cli.summary import summary_lines
from distlandscape.config import load_config
from distlandscape.data import load_source
from distlandscape.files import sha256
from distlandscape.runtime import loss_accuracy_gradient
from distlandscape.studies.context import build_objective
from distlandscape.training import learning_rate_at
from tests.helpers import chained

KEYS = [
    *("data.samples=300", "model.options={hidden: [16]}", "runtime.threads=1", "train.optimizer=adam"),
    *("train.learning_rate=0.001", "train.schedule=cosine", "train.warmup_steps=50", "train.checkpoints=5"),
    *("objective.weight_decay=0.0001", "train.steps=1200"),
]
SETTINGS = [part for key in KEYS for part in ("--set", key)]
LOCAL = ["--workers", "0", "--json"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, empty_database):
    """The undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copy(empty_database, folder / "mlflow.db")
    assert main(["train", *SETTINGS, *LOCAL, "--out", str(folder)]) == 0
    (path,) = folder.glob("train-*")
    return dl.open_run(path).result


def test_result_and_tables(whole):
    run = dl.open_run(whole["run_dir"])
    assert run.status == "done"
    assert whole["steps"] == 1200
    checkpoints, curve = (run.table(name).to_pylist() for name in ("checkpoints", "training"))
    assert [row["step"] for row in checkpoints] == [0, 1, 11, 113, 1200]
    objective = build_objective(load_config(None, [*KEYS, "data.blocks=2"]))
    for row, kept in zip(checkpoints, whole["checkpoints"], strict=True):
        file = run.path / row["file"]
        assert (row["step"], str(file)) == (kept["step"], kept["path"])
        assert sha256(file) == row["sha256"]
        loss, accuracy, gradient_P = loss_accuracy_gradient(objective.with_weights(load_file(file)))
        assert row["loss"] == pytest.approx(loss, rel=1e-5)
        assert row["accuracy"] == pytest.approx(accuracy)
        assert row["gradient_norm"] == pytest.approx(float(gradient_P.double().norm()), rel=1e-4)
    assert whole["weights"] == whole["checkpoints"][-1]["path"]
    assert whole["weights_sha256"] == objective.with_weights(load_file(whole["weights"])).weights_sha256
    assert whole["loss"] == checkpoints[-1]["loss"] < 0.3 < checkpoints[0]["loss"]
    assert 1000 < len(curve) <= 2000
    assert (curve[0]["step"], curve[-1]["step"]) == (1, 1200)
    for row in curve:
        assert row["learning_rate"] == learning_rate_at(row["step"] - 1, 1200, 0.001, "cosine", 50)
    assert not (run.path / "training").exists()


def test_page_and_figure(whole):
    run = Path(whole["run_dir"])
    assert (run / "figures" / "training.png").stat().st_size > 10_000
    assert "After 1,200 steps of Adam" in (run / "report.html").read_text(encoding="utf-8")


def test_mlflow_shows_the_curve(whole):
    client = MlflowClient(f"sqlite:///{Path(whole['run_dir']).parent / 'mlflow.db'}")
    run = client.get_run(whole["run_id"])
    assert run.info.status == "FINISHED"
    run_table = dl.open_run(whole["run_dir"]).table("training").to_pylist()
    curve = {point.step: point.value for point in client.get_metric_history(whole["run_id"], "batch_loss")}
    assert curve == {row["step"]: row["loss"] for row in run_table}
    losses = client.get_metric_history(whole["run_id"], "loss")
    assert [(point.step, point.value) for point in losses][-1] == (1200, whole["loss"])
    assert run.data.metrics["learning_rate"] == run_table[-1]["learning_rate"]


@pytest.mark.usefixtures("numbers_only")
def test_killed_in_mid_training_and_resumed_ends_with_the_same_bits(whole, tracked, out, capfd):
    tracked(out)
    process = subprocess.Popen(
        [sys.executable, "-m", "distlandscape.cli.main", "train", *SETTINGS, "--workers", "0", "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_state(out, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (run_dir,) = out.glob("train-*")
    states = dl.open_run(run_dir).log.events("training")
    assert dl.open_run(run_dir).stages() == []
    assert 0 < states[-1]["step"] < 1200
    assert main(["resume", str(run_dir), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    for key in ("loss", "accuracy", "gradient_norm", "weights_sha256"):
        assert result[key] == whole[key], key
    tables = [
        {name: dl.open_run(r["run_dir"]).table(name) for name in ("training", "checkpoints")} for r in (result, whole)
    ]
    assert tables[0] == tables[1]
    assert not (run_dir / "training").exists()


def wait_for_state(out, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be disturbed"
        if any('"event": "training"' in file.read_text() for file in out.glob("*/log.jsonl")):
            return
        time.sleep(0.02)
    pytest.fail("no state of the training was kept")


@pytest.mark.usefixtures("numbers_only")
def test_changed_files_are_not_gone_on_with(out, capfd):
    assert main(["train", *SETTINGS, "--set", "train.steps=60", *LOCAL, "--out", str(out)]) == 0
    run = dl.open_run(json.loads(capfd.readouterr().out)["run_dir"])
    log = run.path / "log.jsonl"
    lines = log.read_text().splitlines()
    kept = (line for line in lines if '"event": "ended"' not in line and '"evaluation' not in line)
    log.write_bytes(chained(map(json.loads, kept)))
    (run.path / "weights" / "step-000001.safetensors").write_bytes(b"something else")
    assert main(["resume", str(run.path)]) == 2
    assert "step-000001.safetensors is missing or was changed" in capfd.readouterr().err


@pytest.mark.usefixtures("numbers_only")
def test_a_diverged_training_is_not_offered_for_resume(out, capfd):
    steep = ["--set", "train.learning_rate=1e30", "--set", "train.optimizer=sgd", "--set", "train.warmup_steps=0"]
    assert main(["train", *SETTINGS, *steep, *LOCAL, "--out", str(out)]) == 2
    stderr = capfd.readouterr().err
    assert "lower train.learning_rate" in stderr
    (run_dir,) = out.glob("train-*")
    assert "go on with" not in stderr
    assert dl.open_run(run_dir).status == "failed"
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "This run failed." in page
    assert "distlandscape resume" not in page
    for path in (run_dir, out):
        assert main(["resume", str(path)]) == 2
    stderr = capfd.readouterr().err
    assert "would fail again" in stderr
    assert "no unfinished run" in stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["train.steps=0"], "set train.steps to 1 or more"),
        (["train.warmup_steps=6000"], "train.warmup_steps=6000 is more than train.steps=1200; lower it"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_made(tmp_path, capfd, changes, words):
    options = [part for key in changes for part in ("--set", key)]
    assert main(["train", *SETTINGS, *options, *LOCAL, "--out", str(tmp_path)]) == 2
    assert words in capfd.readouterr().err
    assert not list(tmp_path.glob("train-*"))


@pytest.mark.usefixtures("numbers_only")
def test_held_out_samples_are_those_of_the_test_split(out, tmp_path, capfd):
    rng = np.random.default_rng(0)
    y, y_test = np.arange(160) % 4, np.arange(70) % 3  # one class is missing among the held-out samples
    x, x_test = (np.eye(4)[labels] + 0.4 * rng.standard_normal((len(labels), 4)) for labels in (y, y_test))
    np.savez(tmp_path / "split.npz", x=x.astype("f4"), y=y, x_test=x_test.astype("f4"), y_test=y_test)
    keys = ["data.source=npz", f"data.path={tmp_path / 'split.npz'}", "model.options={hidden: [6]}"]
    keys += ["train.steps=60", "train.checkpoints=2", "train.learning_rate=0.1", "train.batch_size=32"]
    options = [part for key in keys for part in ("--set", key)]
    assert main(["train", *options, *LOCAL, "--out", str(out)]) == 0
    result = json.loads(capfd.readouterr().out)
    run = dl.open_run(result["run_dir"])
    store = load_source("npz", str(tmp_path / "split.npz"), split="test")
    rest = build_objective(load_config(None, keys)).with_data(store)
    for row in run.table("checkpoints").to_pylist():
        there = rest.with_weights(load_file(run.path / row["file"]))
        loss, accuracy, _ = loss_accuracy_gradient(there)
        assert row["test_loss"] == pytest.approx(loss, rel=1e-5)
        assert row["test_accuracy"] == accuracy
    assert (result["test_loss"], result["test_accuracy"]) == (row["test_loss"], row["test_accuracy"])
    assert result["test_accuracy"] > 0.6
    assert "on held-out samples they are" in (run.path / "report.html").read_text(encoding="utf-8")
    assert any("on held-out samples" in line for line in summary_lines("train", result))


@pytest.mark.usefixtures("numbers_only")
def test_the_summary_ends_with_the_command_that_measures_the_weights(out, capfd):
    few = ["--set", "train.steps=10", "--set", "train.warmup_steps=2", "--set", "train.checkpoints=2"]
    assert main(["train", *SETTINGS, *few, "--workers", "0", "--out", str(out)]) == 0
    lines = capfd.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("measure them:")]
    program, *arguments = shlex.split(line.partition(":")[2])
    assert (program, arguments[0]) == ("distlandscape", "spectrum")
    small = ["--set", "spectrum.k=1", "--set", "spectrum.max_steps=12", "--set", "spectrum.tol=0.5"]
    small += ["--set", "spectrum.density_steps=4", "--set", "spectrum.trace_probes=2"]
    assert main([*arguments, *small, *LOCAL, "--out", str(out)]) in (0, 3)
    measured = json.loads(capfd.readouterr().out)
    (run_dir,) = out.glob("train-*")
    assert measured["loss"] == dl.open_run(run_dir).result["loss"]
