"""Whole programs that are asked to stop, or whose Ray is killed, at moments when that went wrong."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from distlandscape.record.run import Run
from tests.faults import outside, study
from tests.processes import command_line, descendants
from tests.service.test_real import SMALL, Shell

pytestmark = [pytest.mark.attack, pytest.mark.timeout(400)]


@pytest.fixture
def out(tmp_path, empty_database):
    return study.tracked(tmp_path / "out", empty_database)


def wait_for(name, process):
    """The process of a Ray that starts, as soon as it is there."""
    while process.poll() is None:
        for pid in descendants(process.pid):
            if name in command_line(pid).split(" ")[0]:
                return pid
        time.sleep(0.01)
    raise AssertionError(process.communicate()[1])


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def marked(run_dir, status):
    run = Run.open(run_dir)
    ends = [event["status"] for event in run.log.events("ended")]
    assert (ends, run.resumable) == ([status], True)
    assert not (run_dir / "lease.json").exists()
    return run


@pytest.mark.parametrize("part", ["gcs_server", "raylet"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_while_ray_starts(part, number, out):
    """Ray puts a handler of its own in place as it starts; what it has started by then ends too."""
    process = study.spawn(out, 2)
    wait_for(part, process)
    started = descendants(process.pid)
    process.send_signal(number)
    _, words = process.communicate(timeout=120)
    assert process.returncode == 130, words
    assert "Traceback" not in words
    run = marked(study.run_dir_of(out), "interrupted")
    assert run.log.events("ended")[0]["detail"] == f"stopped by {number.name}"
    deadline = time.monotonic() + 20
    while left := [command_line(pid) for pid in started if alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_raylet_that_is_killed_while_ray_starts(out):
    """A second start is tried; whichever way it goes, the run says so and nothing hangs."""
    process = study.spawn(out, 2)
    os.kill(wait_for("raylet", process), signal.SIGKILL)
    _, words = process.communicate(timeout=200)
    assert process.returncode in (0, 1), words
    if process.returncode == 1:
        assert "go on with: distlandscape resume" in words
        marked(study.run_dir_of(out), "failed")


def test_a_gcs_that_is_killed_in_the_middle(out):
    run_dir, code, words = outside.end_at(out, 10, "store", outside.lose_gcs)
    assert code == 1, words
    assert "the Ray of this run has ended (its gcs_server" in words
    assert "go on with: distlandscape resume" in words
    marked(run_dir, "failed")


class Silent:
    """A tracking server that takes connections and never answers."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.asked = threading.Event()
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def _take(self):
        held = []
        while True:
            try:
                held.append(self.socket.accept())
            except OSError:
                return
            self.asked.set()

    def __exit__(self, *error):
        self.socket.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_in_a_push_to_a_server_that_does_not_answer(number, tmp_path):
    """What catches every error of a server catches no request to stop."""
    with Silent() as server:
        uri = f"tracking.uri=http://127.0.0.1:{server.socket.getsockname()[1]}"
        process = study.spawn(tmp_path, 0, extra=[uri])
        assert server.asked.wait(60)
        process.send_signal(number)
        _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    run = marked(study.run_dir_of(tmp_path), "interrupted")
    assert not run.stages()


def test_down_marks_the_run_of_its_own_job(tmp_path):
    shell = Shell(tmp_path)
    shell.up = shell.call("up", "--cpus", 2)
    try:
        long = SMALL | {"spectrum.k": 20, "spectrum.density_draws": 60, "spectrum.density_steps": 60}
        assignments = [word for key, value in long.items() for word in ("--set", f"{key}={value}")]
        shell.call("submit", "spectrum", *assignments, "--workers", 1, "--id", "job", "--out", "results")
        run_dir = study.run_dir_of(tmp_path / "results")
        study.wait_for_commits(run_dir, 3)
    finally:
        shell.call("down")
    run = marked(run_dir, "interrupted")
    assert json.loads(run.log.path.read_text().splitlines()[-1])["detail"] == "stopped by SIGTERM"
