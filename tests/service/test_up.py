"""Start and end: exactly what was started, nothing else, also after a crash; servers are fakes in real processes."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distlandscape.errors import InputError
from distlandscape.service.processes import (
    STAMP,
    Process,
    end,
    free_port,
    is_loopback,
    listening,
    stamped,
    with_variable,
)
from distlandscape.service.programs import http_status, node_is_alive
from distlandscape.service.state import State
from distlandscape.service.up import JOB_VARIABLE, down, up
from tests.service.fakes import SERVER, programs, server

# Children of this process are nobody else's to wait for: Popen warns when it is forgotten with its process running.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess \\d+ is still running:ResourceWarning")


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "state")
    yield state
    services = state.read()
    if services is not None:
        end(services.everything(), 2.0)


@pytest.fixture
def bystander():
    """A process of the same user that carries another stamp."""
    command = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, env={**os.environ, STAMP: "another"}) as process:
        yield process
        process.kill()


def test_up_twice_and_down(state, bystander):
    services, new = up(state, programs=programs())
    assert new
    assert set(services.alive) == {"ray", "mlflow"}
    assert len(services.everything()) == 3  # the child of one of them, too
    assert [address for address, _ in listening(services.everything())] == ["127.0.0.1", "127.0.0.1"]
    assert state.read() == services

    again, new = up(state, programs=programs())
    assert (again, new) == (services, False)

    assert sorted(down(state)) == ["mlflow", "ray"]
    assert services.everything() == []
    assert state.read() is None
    assert bystander.poll() is None
    with pytest.raises(InputError, match="nothing is up"):
        down(state)


def test_after_a_crash_up_cleans_up_what_was_recorded_and_nothing_else(state, bystander):
    first, _ = up(state, programs=programs())
    os.kill(first.processes["ray"].pid, 9)  # its child lives on
    os.waitpid(first.processes["ray"].pid, 0)
    assert len(first.everything()) == 2
    second, new = up(state, programs=programs())
    assert new
    assert first.everything() == []
    assert len(second.everything()) == 3
    assert bystander.poll() is None


JOB = """
import os, signal, socket, sys, time
port, file = int(sys.argv[1]), sys.argv[2]
def stop(number, frame):
    time.sleep(0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        open(file, "w").write("written while the head was there")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
open(file + ".ready", "w").close()
time.sleep(600)
"""


def test_jobs_end_first_and_have_time_to_write(state, tmp_path):
    services, _ = up(state, programs=programs())
    file, port = tmp_path / "written", services.ray.rpartition(":")[2]
    environment = {**os.environ, STAMP: services.stamp, JOB_VARIABLE: "{}"}
    with subprocess.Popen([sys.executable, "-S", "-c", JOB, port, str(file)], env=environment) as job:
        for _ in range(200):
            if (tmp_path / "written.ready").exists():
                break
            time.sleep(0.05)
        down(state)
        assert job.wait(5) == 0
    assert file.read_text() == "written while the head was there"


def test_a_number_that_was_given_to_another_process_is_not_touched(state, bystander):
    ours = Process.of(bystander.pid)
    stale = {"pid": ours.pid, "started": ours.started - 1, "boot": ours.boot}
    state.prepare()
    record = {"stamp": "gone", "processes": {"ray": stale, "mlflow": stale}, "ray": "", "mlflow": "", "gcs": ""}
    state.record.write_text(json.dumps({**record, "temp": str(state.folder)}))
    assert down(state) == []
    assert bystander.poll() is None
    assert state.folder.exists()  # only a folder that up made is removed


def test_a_service_that_ends_at_once_leaves_none(state):
    broken = server(code="import sys; print('no such database'); sys.exit(4)")
    with pytest.raises(RuntimeError, match=r"mlflow ended with code 4 .*mlflow\.log"):
        up(state, programs=programs(mlflow=broken))
    assert state.read() is None
    assert "no such database" in (state.logs / "mlflow.log").read_text()


def test_a_service_that_answers_and_ends_before_the_other_answers_leaves_none(state):
    once = server(code=SERVER.replace(".serve_forever()", ".handle_request()"))
    late = server(code="import time; time.sleep(1)\n" + SERVER)
    with pytest.raises(RuntimeError, match="ray ended with code 0"):
        up(state, programs=programs(ray=once, mlflow=late))
    assert state.read() is None


NODES = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2])); self.end_headers(); self.wfile.write(sys.argv[3].encode())
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def nodes(*rows):
    return json.dumps(
        {"data": {"result": {"result": [{"is_head_node": head, "state": state} for head, state in rows]}}}
    )


@pytest.mark.parametrize(
    ("status", "body", "alive"),
    [
        (200, nodes((False, "ALIVE"), (True, "ALIVE")), True),
        (200, nodes((True, "DEAD")), False),
        (200, nodes((False, "ALIVE")), False),
        (200, nodes(), False),
        (200, '{"data": null}', False),
        (200, "<html>", False),
        (401, nodes((True, "ALIVE")), False),
    ],
)
def test_ray_is_up_when_its_node_is(status, body, alive):
    port = free_port()
    with subprocess.Popen([sys.executable, "-S", "-c", NODES, str(port), str(status), body]) as child:
        try:
            deadline = time.monotonic() + 20
            while http_status(f"http://127.0.0.1:{port}", {}) is None:
                assert time.monotonic() < deadline
            assert node_is_alive(f"http://127.0.0.1:{port}", {}) is alive
        finally:
            child.terminate()


def test_a_service_that_does_not_answer_leaves_none(state):
    silent = server(code="import time; time.sleep(600)")
    with pytest.raises(RuntimeError, match="ray did not answer within 1 s"):
        up(state, programs=programs(ray=silent), seconds=1.0)
    assert state.read() is None


def test_a_service_that_listens_to_the_network_is_ended(state):
    with pytest.raises(RuntimeError, match=r"beyond this machine \(0\.0\.0\.0:\d+\), so all were ended"):
        up(state, programs=programs(ray=server(host="0.0.0.0")))
    assert state.read() is None


def test_folder_and_token_are_private(state):
    state.folder.mkdir(mode=0o755)
    state.prepare()
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    token = state.make_token()
    text = token.read_text()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(text) == 64
    token.chmod(0o644)  # as Ray writes its own
    assert state.make_token().read_text() == text
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_the_token_is_in_no_command_line_environment_or_record(state):
    services, _ = up(state, programs=programs())
    token = state.token.read_text()
    for process in services.everything():
        for file in ("cmdline", "environ"):
            assert token.encode() not in Path(f"/proc/{process.pid}/{file}").read_bytes()
    assert token not in state.record.read_text()


def test_two_commands_do_not_start_at_the_same_time(state):
    with state.exclusive(), pytest.raises(InputError, match="another command is starting or stopping"):
        up(state, programs=programs())


def test_a_broken_record(state):
    state.prepare()
    state.record.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        down(state)


def test_a_state_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="set DISTLANDSCAPE_STATE"):
        State(tmp_path / "file" / "below").prepare()


def test_a_port_in_use_gets_a_free_one():
    port = free_port()
    assert free_port(port) == port
    with socket.create_server(("127.0.0.1", port)):
        other = free_port(port)
        assert other != port
        assert ("127.0.0.1", port) in listening([Process.of(os.getpid())])
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert other < first, "outgoing connections are given the others"


def test_processes_are_known_by_their_environment(bystander):
    found = stamped("another")
    assert [process.pid for process in found] == [bystander.pid]
    assert with_variable(found, STAMP) == found
    assert with_variable(found, STAMP[:-1]) == []
    assert end(found, 5.0) == []
    assert Process.of(bystander.pid) is None  # a zombie is no process any more


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "localhost"])
def test_loopback(address):
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.127", "::ffff:10.0.0.1", "1270.example"])
def test_not_loopback(address):
    assert not is_loopback(address)
