"""The train command: weights, tables and pages; killed in mid-training and gone on with to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.files import sha256
from tests.studies.test_spectrum_study import command

SETTINGS = ["train.steps=60", "train.checkpoints=4", "runtime.workers=0", "runtime.threads=1", "train.optimizer=adam"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    rng = np.random.default_rng(0)
    y, y_test = np.arange(400) % 4, np.arange(100) % 4
    centres = rng.standard_normal((4, 20))
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    noise = [rng.standard_normal((n, 20)).astype(np.float32) for n in (400, 100)]
    np.savez(
        path, x=centres[y].astype("f4") + noise[0], y=y, x_test=centres[y_test].astype("f4") + noise[1], y_test=y_test
    )
    return path


def words(archive, out, *more):
    chosen = [*SETTINGS, "data.source=npz", f"data.path={archive}", "train.learning_rate=0.01", *more]
    return ["train", *(word for a in chosen for word in ("--set", a)), "--out", str(out)]


@pytest.fixture(scope="module")
def trained(archive, tmp_path_factory):
    """A whole training, and its folder."""
    out = tmp_path_factory.mktemp("whole")
    done = subprocess.run(
        command(*words(archive, out, "train.batch_size=32"), "--json"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_result_and_files(trained):
    assert trained["status"] == "trained"
    assert [c["step"] for c in trained["checkpoints"]] == [0, 1, 8, 60]
    assert trained["weights"] == trained["checkpoints"][-1]["path"]
    assert trained["accuracy"] > 0.8
    assert 0.5 < trained["test_accuracy"] <= trained["accuracy"]
    assert (trained["samples"], trained["test_samples"]) == (400, 100)
    run = dl.open_run(trained["run_dir"])
    rows = run.table("checkpoints").to_pylist()
    for row in rows:
        assert sha256(run.path / "weights" / row["file"]) == row["sha256"]
    assert rows[0]["loss"] > 2 * rows[-1]["loss"]
    curve = run.table("training").to_pydict()
    assert curve["step"] == list(range(1, 61))
    assert set(curve["learning_rate"]) == {0.01}
    assert not (run.path / "training").exists()
    assert (run.path / "figures" / "training.png").stat().st_size > 10_000
    assert "After 60 steps the mean loss is" in (run.path / "report.html").read_text()


def test_mlflow_has_the_curve(trained):
    client = MlflowClient(f"sqlite:///{trained['run_dir']}/../mlflow.db")
    history = client.get_metric_history(trained["run_id"], "training/loss")
    assert [point.step for point in history] == list(range(1, 61))
    assert client.get_metric_history(trained["run_id"], "test_accuracy")[-1].value == trained["test_accuracy"]


def test_killed_in_mid_training(archive, trained, tmp_path):
    """The state file of a step that took place before the kill is all that is left of it."""
    slow = ["train.batch_size=32", "train.steps=60000", "train.checkpoints=2"]
    child = subprocess.Popen(
        command(*words(archive, tmp_path, *slow)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/training/state-*.safetensors")):
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    (run,) = [dl.open_run(path.parent) for path in tmp_path.glob("*/run.json")]
    state = run.log.events("training")[-1]
    assert 0 < state["step"] < 60000
    # A shorter training with the same beginning, which the state fits: the schedule is constant.
    config = (run.path / "config.yaml").read_text().replace("steps: 60000", f"steps: {state['step'] + 40}")
    (run.path / "config.yaml").write_text(config)
    resumed = finish(["resume", str(run.path), "--json"])
    fresh = finish([*words(archive, tmp_path, *slow, f"train.steps={state['step'] + 40}"), "--json"])
    assert resumed["steps"] == fresh["steps"] == state["step"] + 40
    one, other = load_file(resumed["weights"]), load_file(fresh["weights"])
    assert resumed["weights_sha256"] == fresh["weights_sha256"]
    assert all((one[name] == other[name]).all() for name in one)
    assert resumed["test_loss"] == fresh["test_loss"]


def finish(arguments):
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_diverged_training_is_not_offered_for_resumption(archive, tmp_path, capfd):
    assert main(words(archive, tmp_path, "train.learning_rate=1e30", "train.optimizer=sgd")) == 2
    err = capfd.readouterr().err
    assert "training diverged at step" in err
    assert "go on with" not in err
    (run,) = [dl.open_run(path.parent) for path in tmp_path.glob("*/run.json")]
    assert run.status == "failed"
    assert main(["resume", str(run.path)]) == 2
    assert "training diverged" in capfd.readouterr().err
    assert "Start a new run." in (run.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.steps=0"], "leaves nothing to train"),
        (["data.split=test"], "training uses the train split"),
        (["train.warmup_steps=61"], "more than the 60 steps"),
    ],
)
def test_what_cannot_be_trained(archive, tmp_path, capfd, changes, message):
    assert main(words(archive, tmp_path, *changes)) == 2
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_that_is_offered_measures_the_weights(trained, tmp_path, capfd):
    quick = ["spectrum.k=2", "spectrum.density_steps=5", "spectrum.density_draws=1", "spectrum.trace_probes=2"]
    arguments = ["--config", f"{trained['run_dir']}/config.yaml", "--set", f"model.weights={trained['weights']}"]
    more = [word for a in ["train.steps=0", "spectrum.tol=1e-2", *quick] for word in ("--set", a)]
    assert main(["spectrum", *arguments, *more, "--out", str(tmp_path), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["weights_sha256"] == trained["weights_sha256"]
    assert result["loss"] == trained["loss"]


def test_a_source_without_a_test_split_is_fine(tmp_path):
    arguments = ["train", "--set", "train.steps=3", "--workers", "0", "--out", str(tmp_path), "--json"]
    done = subprocess.run([*command(*arguments)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["test_loss"] is None
