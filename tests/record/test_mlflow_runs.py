"""The table of runs is what the server holds: parents only, newest first, with the job each belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distlandscape.cli.main import main
from distlandscape.errors import InputError
from distlandscape.record import mlflow_runs
from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.mlflow_runs import list_runs
from tests.record.fabricated import NOWHERE, add_checkpoints, finish, start_run


def test_runs_of_a_database(out: Path) -> None:
    uri = f"sqlite:///{out}/mlflow.db"
    first = start_run(out)
    first.log.append("started", job="job-1")
    first.log.append("started", job="job-2")  # resumed by another job
    add_checkpoints(first, 2)
    finish(first)
    second = start_run(out)
    second.log.append("started", job=None)
    for run in (first, second):
        assert MlflowMirror(run, uri).push(final=True)
    rows, more = list_runs(uri, "distlandscape", 10**9)
    assert more == 0
    assert [row["name"] for row in rows] == [second.path.name, first.path.name]  # without the checkpoints' children
    assert [row["job_id"] for row in rows] == [None, "job-2"]
    assert [row["status"] for row in rows] == ["running", "done"]
    assert rows[1] | {"run_id": "", "started": ""} == {
        "run_id": "",
        "job_id": "job-2",
        "name": first.path.name,
        "study": "emergence",
        "model": "mlp",
        "data": "digits",
        "lambda_max": 2.0,
        "status": "done",
        "started": "",
        "run_dir": str(first.path),
    }
    rows, more = list_runs(uri, "distlandscape", 1)
    assert (len(rows), more) == (1, 1)
    with pytest.raises(InputError, match="has no experiment 'another'"):
        list_runs(uri, "another", 1)


def test_any_limit_is_taken_and_what_is_not_shown_is_counted(
    out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mlflow_runs, "PAGE", 2)  # several pages of few runs
    for _ in range(5):
        assert MlflowMirror(start_run(out)).push()
    assert [
        len(rows) for rows, _ in (list_runs(f"sqlite:///{out}/mlflow.db", "distlandscape", n) for n in (4, 10**30))
    ] == [4, 5]
    assert main(["runs", "--out", str(out), "--limit", "3"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "2 older runs not shown; raise --limit"
    assert main(["runs", "--out", str(out), "--limit", "1000000000000", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert (len(document["runs"]), document["not_shown"]) == (5, 0)
    monkeypatch.setattr(mlflow_runs, "COUNTED", 2)
    assert main(["runs", "--out", str(out), "--limit", "1"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "at least 2 older runs not shown; raise --limit"


def test_a_server_that_is_away() -> None:
    with pytest.raises(InputError, match=r"http://\*\*\*@127\.0\.0\.1:9 does not answer") as caught:
        list_runs(NOWHERE.replace("//", "//me:secret@"), "distlandscape", 1)
    assert "secret" not in str(caught.value)


def test_names_in_a_configuration_do_not_leave_the_output_folder(out: Path) -> None:
    run = start_run(out, experiment="../../escape")
    add_checkpoints(run, 1)
    finish(run)
    before = {path for path in out.parent.rglob("*") if out not in path.parents}
    assert MlflowMirror(run, None, "../../escape").push(final=True)
    assert {path for path in out.parent.rglob("*") if out not in path.parents} == before
    assert list((out / "mlartifacts").rglob("report.html"))
    assert not (out.parent.parent / "escape").exists()
