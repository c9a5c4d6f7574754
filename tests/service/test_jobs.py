"""The jobs client: ids, sentences, following, stopping, secrets; and from a job to its run."""

from __future__ import annotations

import os
import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import AuthenticationError

from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.service.connect import choose, is_local
from distlandscape.service.entry import PROGRAM, entrypoint, new_id
from distlandscape.service.jobs import Job, Jobs, check_name
from distlandscape.service.processes import Process
from distlandscape.service.runs import run_of
from distlandscape.service.state import Services, State
from tests.service.fakes import FakeClient, details

ADDRESS = "http://127.0.0.1:8265"


@pytest.fixture
def client():
    return FakeClient()


@pytest.fixture
def jobs(client):
    return Jobs(client, ADDRESS)


def test_submit_sends_the_folder_and_no_secret(client, jobs, tmp_path):
    (tmp_path / "config.yaml").write_text("data: {}")
    metadata = {"study": "spectrum", "uri": "https://user:pass@host/x?token=abc"}
    assert jobs.submit(Job("a-1", "echo", metadata, tmp_path)) == "a-1"
    assert client.sent["a-1"].files == {"config.yaml": "data: {}"}
    assert client.sent["a-1"].metadata == {"study": "spectrum", "uri": "https://***@host/x?token=***"}
    assert jobs.status("a-1").status == "RUNNING"
    with pytest.raises(InputError, match="a job a-1 is there already"):
        jobs.submit(Job("a-1", "echo", {}))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "<script>", ".hidden", "-f", "x" * 101, "a\n", "a?b"])
def test_ids_are_plain_names(jobs, client, name):
    for use in (lambda: jobs.submit(Job(name, "echo", {})), lambda: jobs.status(name), lambda: jobs.stop(name)):
        with pytest.raises(InputError, match="is no id of a job"):
            use()
    assert client.jobs == {}


def test_ids_of_its_own_are_plain_and_differ():
    names = {new_id("spectrum") for _ in range(20)}
    assert len(names) > 15
    for name in names:
        check_name(name)
        assert name.startswith("spectrum-")


def test_an_unknown_job_is_a_sentence(jobs):
    for use in (jobs.status, jobs.logs, jobs.stop, lambda name: jobs.follow(name, print)):
        with pytest.raises(InputError, match=rf"no job gone is known at {ADDRESS}"):
            use("gone")


def test_following_ends_with_the_job(client, jobs):
    jobs.submit(Job("a", "echo", {}))
    seen = []
    job = jobs.follow("a", seen.append)
    assert seen == ["first\n", "second\n"]
    assert (job.status, job.exit_code, job.ended) == ("FAILED", 3, True)


def test_stop_once(client, jobs):
    jobs.submit(Job("a", "echo", {}))
    assert jobs.stop("a").status == "STOPPED"
    with pytest.raises(InputError, match=r"is over \(STOPPED\)"):
        jobs.stop("a")


def test_a_job_that_does_not_stop_is_told_as_it_is(client, jobs):
    jobs.submit(Job("a", "echo", {}))
    client.stop_job = lambda job_id: True
    assert jobs.stop("a", seconds=0.3).status == "RUNNING"


def test_jobs_newest_first_without_those_nobody_submitted(client, jobs):
    client.jobs = {name: details(name, "RUNNING", start_time=time) for name, time in (("a", 1), ("b", 3), ("c", 2))}
    client.jobs["driver"] = details(None, "RUNNING")
    assert [job.job_id for job in jobs.all()] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConnectionError("refused"), InputError, "no Ray job server answers"),
        (AuthenticationError("whatever it says"), InputError, "RAY_AUTH_TOKEN_PATH"),
        (RuntimeError("no 404 of a job, port 4010, does not exist"), RuntimeError, "failed: no 404 of a job"),
        (RuntimeError("status code 500: at https://me:secret@host/x"), RuntimeError, "failed: status code 500"),
    ],
)
def test_what_the_server_says_becomes_a_sentence(client, jobs, error, kind, words):
    def fail():
        raise error

    client.list_jobs = fail
    with pytest.raises(kind, match=words) as caught:
        jobs.all()
    assert "secret" not in str(caught.value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8), max_size=5))
def test_the_entry_point_survives_the_shell(arguments):
    assert shlex.split(entrypoint(arguments, local=False)) == ["python", *PROGRAM, *arguments]
    assert shlex.split(entrypoint(arguments, local=True))[0] == sys.executable


def test_a_job_finds_its_run(tmp_path):
    runs = [Run.create(tmp_path, "spectrum", {}, {}) for _ in range(3)]
    for run, job in zip(runs, ("a", "b", None), strict=True):
        run.log.append("started", job=job)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert run_of("b", tmp_path).run_id == runs[1].run_id
    assert run_of("c", tmp_path) is None
    runs[1].log.append("started", job="c")  # a resume by another job
    assert run_of("c", tmp_path).run_id == runs[1].run_id
    assert run_of("b", tmp_path / "elsewhere") is None


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    state = State(tmp_path)
    state.write(Services("s", {"ray": Process.of(os.getpid())}, ADDRESS, "", "", ""))
    return state


def test_which_server_is_meant(state, monkeypatch):
    assert choose(state, None) == ADDRESS
    assert choose(state, "https://cluster:8265/") == "https://cluster:8265"
    assert is_local(state, ADDRESS)
    assert not is_local(state, "https://cluster:8265")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://10.0.0.1:8265")
    assert choose(state, None) == "http://10.0.0.1:8265"
    state.forget()
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    with pytest.raises(InputError, match="no service is up and no address is given"):
        choose(state, None)


@pytest.mark.parametrize("address", ["10.0.0.1:8265", "ray://h:1", "file:///etc/passwd", "http://u:p@h:1", "http://"])
def test_addresses_are_of_job_servers(state, address):
    with pytest.raises(InputError, match="http://HOST:PORT") as caught:
        choose(state, address)
    assert "u:p" not in str(caught.value)
