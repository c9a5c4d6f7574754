"""The mirror in MLflow holds all of a run, once, however often it is pushed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from distlandscape.record.mlflow_client import connect, resolve
from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.run import Run
from tests.record.fabricated import NOWHERE, add_checkpoints, content, finish, start_run


def test_a_finished_run_is_mirrored_whole(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = start_run(out)
    add_checkpoints(run, 3)
    finish(run)
    mirror = MlflowMirror(run)
    assert mirror.push(final=True)
    assert capfd.readouterr() == ("", "")

    held = content(mirror)
    assert sorted(held) == sorted([run.path.name, "step-000000", "step-000010", "step-000020"])
    parent = held[run.path.name]
    assert parent["status"] == "FINISHED"
    assert (
        parent["tags"].items()
        >= {
            "distlandscape.run_id": run.run_id,
            "distlandscape.study": "emergence",
            "distlandscape.run_dir": str(run.path),
            "distlandscape.git_commit": "a1b2c3",
            "distlandscape.digest.data": "d" * 64,
            "distlandscape.version.torch": "2.13.0",
            "distlandscape.status": "done",
            "distlandscape.status_detail": "all pairs converged",
        }.items()
    )
    assert "distlandscape.digest.weights" not in parent["tags"]
    assert parent["params"]["spectrum.k"] == "10"
    assert parent["params"]["data.source"] == "digits"
    assert parent["params"]["model.options.sizes _hidden_"] == "[64, 32]"
    assert parent["metrics"] == {
        "loss": [(0, 1.0), (10, 0.5), (20, 1 / 3)],
        "accuracy": [(0, 0.5), (10, 0.5), (20, 0.5)],
        "lambda_max": [(0, 0.0), (10, 1.0), (20, 2.0)],
        **{f"confinement/{label}": [(0, 0.25), (10, 0.25), (20, 0.25)] for label in ("C-1", "10")},
        **{f"confinement_null_share/{label}": [(0, 0.02), (10, 0.02), (20, 0.02)] for label in ("C-1", "10")},
        "trace": [(20, 3.5)],
        "trace_stderr": [(20, 0.1)],
        "frobenius": [(20, 2.5)],
        "frobenius_stderr": [(20, 0.2)],
        "lambda_1": [(20, 2.0)],
        "lambda_min": [(20, -0.5)],
        "residual_max": [(20, 2e-4)],
        "passes": [(20, 40.0)],
        "wall_s": [(20, 1.5)],
    }
    assert parent["files"] == sorted(
        [
            "config.yaml",
            "figures/loss.png",
            "log.jsonl",
            "report.html",
            "result.json",
            "tables/checkpoints.parquet",
            "tables/confinement.parquet",
        ]
    )
    child = held["step-000010"]
    assert child["status"] == "FINISHED"
    assert child["tags"]["mlflow.parentRunId"] == mirror.run_id
    assert child["metrics"]["loss"] == [(10, 0.5)]
    assert child["metrics"]["confinement/C-1"] == [(10, 0.25)]


def test_artifacts_are_bit_equal_and_nothing_lands_in_the_working_directory(out: Path) -> None:
    run = start_run(out)
    add_checkpoints(run, 1)
    assert MlflowMirror(run).push()
    copies = list((out / "mlartifacts").rglob("checkpoints.parquet"))
    assert [copy.read_bytes() for copy in copies] == [(run.path / "tables" / "checkpoints.parquet").read_bytes()]
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("lost", [False, True], ids=["remembered", "mlflow.json-lost"])
def test_pushing_again_changes_nothing(out: Path, lost: bool) -> None:
    run = start_run(out)
    add_checkpoints(run, 2)
    finish(run)
    first = MlflowMirror(run)
    assert first.push(final=True)
    before = content(first)
    if lost:
        (run.path / "mlflow.json").unlink()
    second = MlflowMirror(Run.open(run.path))
    assert second.push(final=True)
    assert second.run_id == first.run_id
    assert content(second) == before


def test_it_follows_a_run_from_start_to_resume(out: Path) -> None:
    run = start_run(out)
    mirror = MlflowMirror(run)
    assert mirror.run_id is None
    assert mirror.push()
    assert content(mirror)[run.path.name]["status"] == "RUNNING"

    add_checkpoints(run, 1)
    assert mirror.push()
    assert list(content(mirror)[run.path.name]["metrics"]["loss"]) == [(0, 1.0)]

    run.log.append("ended", status="interrupted")
    assert mirror.push(final=True)
    assert content(mirror)[run.path.name]["status"] == "KILLED"

    run.log.append("started")
    resumed = MlflowMirror(Run.open(run.path))
    assert resumed.run_id == mirror.run_id
    assert resumed.push()
    assert content(mirror)[run.path.name]["status"] == "RUNNING"

    add_checkpoints(run, 2)
    finish(run)
    assert resumed.push(final=True)
    held = content(mirror)
    assert held[run.path.name]["status"] == "FINISHED"
    assert held[run.path.name]["metrics"]["loss"] == [(0, 1.0), (10, 0.5)]
    assert sorted(held) == sorted([run.path.name, "step-000000", "step-000010"])


def test_parameters_are_set_once(out: Path) -> None:
    run = start_run(out)
    assert MlflowMirror(run).push()
    config = run.path / "config.yaml"
    config.write_text(config.read_text().replace("workers: 2", "workers: 3"))
    mirror = MlflowMirror(run)
    assert mirror.push()
    assert content(mirror)[run.path.name]["params"]["runtime.workers"] == "2"


def test_only_changed_files_are_sent_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(out)
    add_checkpoints(run, 1)
    mirror = MlflowMirror(run)
    assert mirror.push()
    sent: list[str] = []
    monkeypatch.setattr(
        type(mirror._client), "log_artifact", lambda _self, _run, path, _folder=None: sent.append(Path(path).name)
    )
    run.log.append("stage", name="one", sha256="", values={})
    assert mirror.push()
    assert sent == ["log.jsonl"]


def test_a_run_the_user_deleted_is_made_anew(out: Path) -> None:
    run = start_run(out)
    mirror = MlflowMirror(run)
    assert mirror.push()
    old = mirror.run_id
    connect(mirror.uri).delete_run(old)
    assert mirror.push()
    assert mirror.run_id not in (None, old)


def test_a_missing_database_is_made(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = start_run(tmp_path / "out")
    assert MlflowMirror(run, f"sqlite:///{tmp_path}/elsewhere/deep/tracking.db").push()
    assert (tmp_path / "elsewhere" / "deep" / "mlartifacts").is_dir()
    assert capfd.readouterr() == ("", "")


def test_a_run_the_server_never_had_is_made_anew(out: Path) -> None:
    run = start_run(out)
    mirror = MlflowMirror(run)
    assert mirror.push()
    state = json.loads((run.path / "mlflow.json").read_text())
    (run.path / "mlflow.json").write_text(json.dumps(state | {"run_id": "0" * 32}))
    again = MlflowMirror(run)
    assert again.push()
    assert again.run_id == mirror.run_id  # found by its tag


def test_two_runs_may_make_the_experiment_at_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(out)
    mirror = MlflowMirror(run, experiment="shared")
    client = connect(mirror.uri)
    made = client.create_experiment("shared", artifact_location=(out / "mlartifacts").as_uri())
    look, answers = type(client).get_experiment_by_name, iter([None])
    monkeypatch.setattr(
        type(client), "get_experiment_by_name", lambda self, name: next(answers, SimpleNamespace()) and look(self, name)
    )
    assert mirror.push()
    assert client.get_run(mirror.run_id).info.experiment_id == made


def test_where_it_is(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(out)
    assert MlflowMirror(run).uri == f"sqlite:///{out}/mlflow.db"
    assert MlflowMirror(run).url_hint.startswith("mlflow ui --backend-store-uri 'sqlite:///")
    assert "--host 127.0.0.1 --port" in MlflowMirror(run).url_hint
    assert MlflowMirror(run, "http://u:p@host:5").url_hint == "http://host:5"
    monkeypatch.chdir(out)
    assert resolve("sqlite:///mlflow.db?mode=rwc") == f"sqlite:///{out}/mlflow.db?mode=rwc"


def test_importing_the_record_does_not_import_mlflow() -> None:
    code = (
        "import sys, distlandscape.record.mlflow_mirror, distlandscape.cli.mlflow_sync; print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_images_of_a_run_that_goes_on_are_replaced_by_its_figures(out: Path) -> None:
    run = start_run(out)
    mirror = MlflowMirror(run)
    assert not mirror.push_images({"loss": b"too early"})
    assert mirror.push()
    assert mirror.push_images({"loss": b"so far", "ritz": b"step 3"})
    assert mirror.push_images({"loss": b"so far, later"})
    assert not (run.path / "figures").exists()
    client = connect(mirror.uri)
    assert Path(client.download_artifacts(mirror.run_id, "figures/loss.png")).read_bytes() == b"so far, later"
    add_checkpoints(run, 1)
    finish(run)
    assert mirror.push(final=True)
    at_the_end = Path(client.download_artifacts(mirror.run_id, "figures/loss.png")).read_bytes()
    assert at_the_end == (run.path / "figures" / "loss.png").read_bytes() != b"so far, later"
    assert "figures/ritz.png" in content(mirror)[run.path.name]["files"]


def test_mlflows_own_variable_names_the_server_where_nothing_else_does(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, theirs = start_run(out), f"sqlite:///{out}/theirs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", theirs)
    assert MlflowMirror(run).uri == theirs
    assert MlflowMirror(run, NOWHERE).uri == NOWHERE
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert MlflowMirror(run).uri == f"sqlite:///{out}/mlflow.db"
