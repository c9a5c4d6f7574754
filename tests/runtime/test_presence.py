"""A Ray that is gone is noticed and said, before Ray ends the process without a word."""

import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from distlandscape import stopping
from distlandscape.errors import Interrupted, WorkerFailure
from distlandscape.runtime import presence, waiting
from distlandscape.runtime.presence import PATIENCE_SECONDS, PROBE_SECONDS


@pytest.fixture
def node(monkeypatch):
    """What Ray would remember of the node it started: nothing yet."""
    made = SimpleNamespace(all_processes={}, gcs_address="127.0.0.1:9")
    monkeypatch.setattr(presence, "_node", lambda: made)
    monkeypatch.setattr(presence, "_probed", 0.0)
    monkeypatch.setattr(presence, "_answered", 0.0)
    return made


@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_a_part_of_ray_that_was_killed_is_named(node, name):
    with subprocess.Popen(["sleep", "60"]) as process:
        node.all_processes = {name: [SimpleNamespace(process=process)]}
        assert presence.ended() == ""
        presence.require_ray()
        process.kill()
        process.wait()
    with pytest.raises(
        WorkerFailure, match=f"the Ray of this run has ended .its {name}, process {process.pid}, is gone"
    ):
        waiting.until(lambda seconds: pytest.fail("nothing is waited for"), 60)


def test_a_cluster_that_was_joined_has_half_a_minute_to_come_back(node, monkeypatch):
    """Nobody listens at port 9; where somebody does, the time counts from there."""
    clock = [1000.0]
    monkeypatch.setattr(presence, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    assert presence.ended() == ""
    clock[0] += PATIENCE_SECONDS - 1
    assert presence.ended() == ""
    with socket.create_server(("127.0.0.1", 0)) as there:
        node.gcs_address = f"127.0.0.1:{there.getsockname()[1]}"
        clock[0] += PROBE_SECONDS + 1
        assert presence.ended() == ""
    for _ in range(5):
        clock[0] += PROBE_SECONDS
        assert presence.ended() == ""
    clock[0] += PROBE_SECONDS + 1
    assert presence.ended() == f"its GCS at {node.gcs_address} refuses connections"
    assert presence.ended() == ""  # asked again too soon


def test_no_ray_is_none_that_ended(monkeypatch):
    monkeypatch.setattr(presence, "_node", lambda: None)
    assert presence.ended() == ""
    assert presence.folder() is None


def test_agents_are_found_by_their_logs(tmp_path):
    program = "import sys, time; file = open(sys.argv[1], 'w'); print(flush=True); time.sleep(60)"
    for folder in ("session", "session-2"):
        (tmp_path / folder).mkdir()
    mine, other = (
        subprocess.Popen([sys.executable, "-c", program, tmp_path / name / "agent.log"], stdout=subprocess.PIPE)
        for name in ("session", "session-2")
    )
    with mine, other:
        for process in (mine, other):
            process.stdout.readline()
        presence.end_agents(tmp_path / "session")
        assert mine.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_waiting_looks_twice_a_second(node):
    """A request that comes while it waits ends the waiting; the time is over as it was asked for."""
    asked = []

    def holds(seconds):
        asked.append(seconds)
        if len(asked) == 3:
            stopping.ask("for a test")
        return False

    with stopping.noting(), pytest.raises(Interrupted, match="for a test"):
        waiting.until(holds, 60)
    assert asked == [waiting.LOOK_SECONDS] * 3
    began = time.monotonic()
    assert not waiting.until(lambda seconds: time.sleep(seconds) is not None, 0.7)
    assert 0.7 <= time.monotonic() - began < 5
    assert waiting.until(lambda seconds: True, 0)
