"""What is wrong is found, and each finding says what to do about it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from distlandscape.service import doctor
from distlandscape.service.doctor import ERROR, OK, WARNING, examine
from distlandscape.service.processes import STAMP, Process
from distlandscape.service.state import Services, State
from tests.service.fakes import server

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Looks at a state folder of its own; a line by its name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("RAY_API_SERVER_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)

    def look():
        lines = examine(State(tmp_path / "state"), tmp_path / "not" / "yet")
        assert all(line.remedy for line in lines if line.level != OK)
        assert not any(line.remedy for line in lines if line.level == OK)
        return {line.name: line for line in lines}

    return look


def test_a_machine_in_order(found, tmp_path):
    lines = found()
    assert {"python", "torch", "ray", "mlflow", "gpus", "cores", "shared memory", "disk", "services"} <= set(lines)
    assert (lines["python"].level, lines["torch"].level, lines["services"].text) == (OK, OK, "not up")
    assert not (tmp_path / "not").exists()
    assert not (tmp_path / "state").exists()


def test_versions(found, monkeypatch):
    def version(name):
        if name == "ray":
            raise PackageNotFoundError
        return "2.9.1+cpu" if name == "torch" else "99.0"

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    lines = found()
    assert {name: lines[name].level for name in ("python", "torch", "ray", "numpy")} == {
        "python": ERROR,
        "torch": ERROR,
        "ray": ERROR,
        "numpy": OK,
    }
    assert lines["torch"].remedy == "install torch 2.10 or newer"
    assert lines["ray"].text == "not installed"


def test_one_core_and_no_room(found, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(2**29))
    lines = found()
    assert {lines[name].level for name in ("cores", "shared memory", "disk")} == {WARNING}
    assert "--workers 0" in lines["cores"].remedy
    assert "--shm-size" in lines["shared memory"].remedy
    assert "0.5 GB free" in lines["disk"].text


@pytest.mark.parametrize(("code", "level", "text"), [(0, OK, "2"), (9, WARNING, "2")])
def test_gpus(found, tmp_path, monkeypatch, code, level, text):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho GPU 0: a UUID: x\necho GPU 1: a UUID: y\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert (found()["gpus"].level, found()["gpus"].text) == (level, text)


def test_services_that_ended_left_something_or_do_not_answer(found, tmp_path):
    state, me = State(tmp_path / "state"), Process.of(os.getpid())
    state.prepare()
    gone = Process(me.pid, me.started - 1, me.boot)
    state.write(Services("stamp", {"ray": me, "mlflow": gone}, NOWHERE, NOWHERE, "", ""))
    lines = found()
    assert (lines["service ray"].level, lines["service ray"].text) == (ERROR, "does not answer")
    assert (lines["service mlflow"].level, lines["service mlflow"].text) == (ERROR, "has ended")


def test_a_head_without_a_token_and_open_to_the_network(found, tmp_path):
    """As a Ray would be whose switches were overlooked: it answers whoever asks."""
    program = server(host="0.0.0.0")
    state = State(tmp_path / "state")
    state.prepare()
    with doctor.subprocess.Popen(program.command, env={**os.environ, STAMP: "wide"}) as child:
        try:
            while not program.answers():
                assert child.poll() is None
            ray = Process.of(child.pid)
            state.write(Services("wide", {"ray": ray, "mlflow": ray}, program.address, program.address, "", ""))
            lines = found()
        finally:
            child.kill()
    assert (lines["service ray"].level, lines["service ray"].text) == (ERROR, "answers 200 without its token")
    assert (lines["service mlflow"].level, lines["sockets"].level) == (OK, ERROR)
    assert "0.0.0.0" in lines["sockets"].text


def test_servers_the_environment_names(found, monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", NOWHERE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE.replace("//", "//me:secret@"))
    lines = found()
    assert lines["job server"].remedy == "start it, or correct RAY_API_SERVER_ADDRESS"
    assert (lines["tracking server"].level, lines["tracking server"].text) == (WARNING, f"{NOWHERE} does not answer")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here.db")
    assert "tracking server" not in found()


@pytest.mark.parametrize("name", ["ray::DashboardAgent", "ray::RuntimeEnvAgent"])
def test_agents_of_a_killed_ray_are_named(found, name, tmp_path):
    """Ray titles them so; a parent that is a raylet makes them a part of a Ray that lives."""
    raylet = tmp_path / "raylet"
    raylet.write_text(f'#!/bin/bash\nbash -c "exec -a {name} sleep 60" & echo $!; wait\n')
    raylet.chmod(0o755)
    with subprocess.Popen([raylet], stdout=subprocess.PIPE, text=True) as parent:
        agent = int(parent.stdout.readline())
        try:
            deadline = time.monotonic() + 10
            while not Path(f"/proc/{agent}/cmdline").read_bytes().startswith(name.encode()):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert str(agent) not in found()["left of Ray"].text  # others may be, of another test
            parent.kill()
            parent.wait()
            line = found()["left of Ray"]
        finally:
            os.kill(agent, signal.SIGKILL)
    assert line.level == WARNING
    assert str(agent) in line.text.removeprefix("agents of a Ray that was killed, processes ").split()
    assert str(agent) in line.remedy.rpartition("kill ")[2].split()
