"""A real Ray head, a real MLflow server, a real job: sockets, tokens, hosts and origins, stop and resume."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from distlandscape.service.processes import is_loopback, listening
from distlandscape.service.state import State

pytestmark = [pytest.mark.ray, pytest.mark.commands, pytest.mark.timeout(400), pytest.mark.xdist_group("ray")]

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
SMALL = {
    "data.samples": 200,
    "train.steps": 30,
    "train.checkpoints": 2,
    "spectrum.k": 3,
    "spectrum.density_steps": 10,
    "spectrum.density_draws": 1,
    "spectrum.trace_probes": 2,
}


class Shell:
    """The command line in processes of their own, as a user has it."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.environment |= {"DISTLANDSCAPE_STATE": str(folder / "state"), "PYTHONPATH": str(Path.cwd())}
        self.environment["PATH"] = "/usr/bin:/bin"  # no python of this environment

    def call(self, *arguments):
        return json.loads(self.python("-m", "distlandscape.cli.main", *map(str, arguments), "--json"))

    def codes(self, commands):
        """Exit codes of commands that print nothing, one after another in one process."""
        program = "import sys; from distlandscape.cli.main import main; "
        program += "print([main([*words.split(), '--json']) for words in sys.argv[1:]])"
        return json.loads(self.python("-c", program, *commands))

    def python(self, *arguments, environment=None):
        everything = self.environment | (environment or {})
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=everything, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def ended(self, job):
        """What the command says of a job that is over; until then Ray is asked, which takes no new process."""
        request = urllib.request.Request(f"{self.up['ray']}/api/jobs/{job}", headers=self.token())
        deadline = time.monotonic() + 150
        while True:
            with OPENER.open(request, timeout=10) as answer:
                found = json.load(answer)
            if found["status"] not in ("PENDING", "RUNNING"):
                return self.call("status", job)
            assert time.monotonic() < deadline, found
            time.sleep(0.2)

    def token(self):
        return {"Authorization": f"Bearer {(self.folder / 'state' / 'ray-token').read_text()}"}


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    shell = Shell(tmp_path_factory.mktemp("service"))
    try:
        shell.up = shell.call("up", "--cpus", 2)
        yield shell
    finally:
        services = State(shell.folder / "state").read()
        if services is not None:
            shell.call("down")
            assert services.everything() == []
            assert not Path(services.temp).exists()


def submit(shell, name):
    held = {"model.name": "tests.service.held:mlp", "model.options.hold": json.dumps(str(shell.folder / name))}
    assignments = [word for key, value in (SMALL | held).items() for word in ("--set", f"{key}={value}")]
    arguments = ("submit", "spectrum", *assignments, "--workers", 1, "--id", name, "--out", "results")
    return shell.call(*arguments)


def status(url, headers=(), data=None):
    request = urllib.request.Request(url, headers=dict(headers), data=data)
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_every_socket_is_on_loopback_and_doctor_says_so(shell):
    found = listening(State(shell.folder / "state").read().everything())
    assert len(found) >= 3
    assert all(is_loopback(address) for address, _ in found), found
    lines = {line["name"]: line["level"] for line in shell.call("doctor")["lines"]}
    assert {lines["sockets"], lines["service ray"], lines["service mlflow"], lines["token of up"]} == {"ok"}


def test_ray_refuses_a_request_without_its_token(shell):
    url = f"{shell.up['ray']}/api/jobs/"
    assert status(url) == 401
    assert status(url, {"Authorization": "Bearer wrong"}) in (401, 403)
    assert status(url, shell.token()) == 200


def test_mlflow_refuses_foreign_hosts_and_origins(shell):
    url = f"{shell.up['mlflow']}/api/2.0/mlflow/experiments/"
    create = json.dumps({"name": "theirs"}).encode()
    kind = ("Content-Type", "application/json")
    assert status(f"{url}search?max_results=1", [("Host", "evil.example")]) == 403
    assert status(f"{url}create", [kind, ("Origin", "http://evil.example")], create) == 403
    assert status(f"{url}search?max_results=1") == 200


def test_two_jobs_at_once_and_one_stopped_and_resumed_gives_the_same_bits(shell):
    hold = shell.folder / "struck"
    hold.touch()
    submit(shell, "struck")
    submit(shell, "beside")
    deadline = time.monotonic() + 120
    while not hold.with_suffix(".reached").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stopped = shell.call("stop", "struck")
    assert (stopped["status"], stopped["run_status"]) == ("STOPPED", "interrupted")
    hold.unlink()
    resumed = shell.call("resume", "struck")["job_id"]
    ended = {name: shell.ended(name) for name in (resumed, "beside")}
    assert [job["status"] for job in ended.values()] == ["SUCCEEDED"] * 2
    results = {name: json.loads((Path(job["run_dir"]) / "result.json").read_text()) for name, job in ended.items()}
    for key in ("eigenvalues", "residuals", "trace", "frobenius"):
        assert results[resumed][key] == results["beside"][key]
    held = {run["job_id"]: run for run in shell.call("runs")["runs"]}
    assert set(held) == set(results)  # the run that was resumed is one run, at its last job
    for name, row in held.items():
        assert row["run_id"] == results[name]["run_id"]
        assert row["lambda_max"] == max(results["beside"]["eigenvalues"])
        expected = ("spectrum", "tests.service.held:mlp", "digits", "done")
        assert (row["study"], row["model"], row["data"], row["status"]) == expected
    page = artifact(shell, results["beside"]["run_id"], "report.html")
    with contextlib.closing(OPENER.open(page, timeout=10)) as answer:
        assert b"<html" in answer.read(4000).lower()


def artifact(shell, run_id, name):
    return f"{shell.up['mlflow']}/get-artifact?run_id={run_id}&path={name}"


def test_ray_s_own_command_runs_the_entry_point_of_a_study(shell):
    """As docs/service.md says it, with what ``up`` prints in the environment."""
    jobs = Path(__file__).parents[2] / "jobs"
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(shell.folder / "state" / "ray-token")}
    environment["RAY_API_SERVER_ADDRESS"] = shell.up["ray"]
    command = ["-m", "ray.scripts.scripts", "job", "submit", "--submission-id", "plain", "--working-dir", str(jobs)]
    command += ["--", "python", "spectrum.py", "--config", "spectrum-digits.yaml", "--out", str(shell.folder / "plain")]
    command += ["--workers", "0", *(word for key, value in SMALL.items() for word in ("--set", f"{key}={value}"))]
    printed = shell.python(*command, environment=environment)
    assert "converged" in printed
    (row,) = (run for run in shell.call("runs")["runs"] if run["job_id"] == "plain")
    (folder,) = (shell.folder / "plain").glob("spectrum-*")
    result = json.loads((folder / "result.json").read_text())
    assert (row["run_id"], row["status"]) == (result["run_id"], "done")


def test_mistakes_are_sentences_and_exit_2(shell):
    assert shell.codes(["logs gone", "stop gone", "status gone", "resume gone"]) == [2, 2, 2, 2]
    assert shell.call("up")["started"] is False
