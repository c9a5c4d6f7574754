"""The table of runs is what the server holds: parents only, newest first, with the job each belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from distlandscape.errors import InputError
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
