"""Entry points of jobs are thin: each hands its arguments to the command, and retry goes on with what is there."""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from pathlib import Path

import pytest

from distlandscape.cli import main as command_line
from distlandscape.cli.study import STUDIES
from distlandscape.record.lease import STALE_SECONDS, held
from distlandscape.record.run import Run
from distlandscape.studies.provenance import job_id

JOBS = Path(__file__).parent.parent / "jobs"


@pytest.fixture
def calls(monkeypatch):
    calls = []
    monkeypatch.setattr(command_line, "main", lambda arguments: calls.append(arguments) or 7)
    return calls


def execute(name, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(JOBS / name), run_name="__main__")
    return ended.value.code


def test_there_is_one_for_every_study():
    assert {file.stem for file in JOBS.glob("*.py")} == {*STUDIES, "retry"}


@pytest.mark.parametrize("study", STUDIES)
def test_an_entry_point_hands_on_its_arguments(study, calls, monkeypatch):
    assert execute(f"{study}.py", "--config", "c.yaml", monkeypatch=monkeypatch) == 7
    assert calls == [[study, "--config", "c.yaml"]]


def test_retry_starts_goes_on_and_ends(tmp_path, calls, monkeypatch):
    arguments = ("spectrum", "--config", "c.yaml", "--out", str(tmp_path))
    assert execute("retry.py", *arguments, monkeypatch=monkeypatch) == 7
    run = Run.create(tmp_path, "spectrum", {}, {})
    run.log.append("started")
    assert execute("retry.py", *arguments, monkeypatch=monkeypatch) == 7
    run.log.append("ended", status="done", detail="converged")
    assert execute("retry.py", *arguments, monkeypatch=monkeypatch) == 0
    assert calls == [list(arguments), ["resume", str(tmp_path)]]


def test_retry_waits_for_a_driver_that_was_lost_with_its_machine(tmp_path, calls, monkeypatch):
    run = Run.create(tmp_path, "spectrum", {}, {})
    run.log.append("started")
    lease = run.path / "lease.json"
    lease.write_text(json.dumps({"host": "another", "pid": 1, "started": "1"}))
    last = time.time() - STALE_SECONDS + 2  # of its heartbeats
    os.utime(lease, (last, last))
    assert held(run.path)
    assert execute("retry.py", "spectrum", "--out", str(tmp_path), monkeypatch=monkeypatch) == 7
    assert not held(run.path)
    assert calls == [["resume", str(tmp_path)]]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"metadata": null}'])
def test_outside_a_job_there_is_no_id(text, monkeypatch):
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    if text is not None:
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", text)
    assert job_id() is None


def test_the_id_of_a_job(monkeypatch):
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"metadata": {"job_submission_id": "a-1"}}))
    assert job_id() == "a-1"
