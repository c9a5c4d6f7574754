"""Who may read the live page, and that what a run holds stays text."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.report.live.server import CONNECTIONS, LiveServer
from distlandscape.report.live.state import Follower
from tests.report.fabricate import make_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = make_run(tmp_path, model=HOSTILE)
    (run.path / "report.html").write_text("<title>the final page</title>")
    return run


@pytest.fixture
def server(run: Run) -> Iterator[LiveServer]:
    with LiveServer(Follower(run.path)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Answer:
    def __init__(self, server: LiveServer, path: str, method: str = "GET", **headers: str | None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": f"127.0.0.1:{server.server_port}", **headers}.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        connection.close()


def with_token(server: LiveServer, path: str) -> str:
    return f"{path}?token={server.token}"


PATHS = ("/", "/state", "/live.js", "/plotly.js", "/report")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_given_without_the_token(server: LiveServer, path: str) -> None:
    assert Answer(server, path).status == 403
    for wrong in ("", "x", server.token[:-1], server.token + "x", server.token.swapcase(), "%C3%A9"):
        answer = Answer(server, f"{path}?token={wrong}")
        assert answer.status == 403
        assert b"token" in answer.body
        assert server.token.encode() not in answer.body
    assert Answer(server, path, Cookie=f"{server.cookie}=x").status == 403
    assert Answer(server, path, Cookie=f"other={server.token}").status == 403
    assert Answer(server, path, Cookie='{"}; a="').status == 403
    assert Answer(server, with_token(server, path)).status == 200
    assert Answer(server, path, Cookie=f"a=b; {server.cookie}={server.token}").status == 200


def test_the_page_hands_its_token_over_as_a_cookie_that_scripts_cannot_read(server: LiveServer) -> None:
    cookie = Answer(server, with_token(server, "/")).headers["Set-Cookie"]
    assert cookie == f"distlandscape-{server.server_port}={server.token}; Path=/; HttpOnly; SameSite=Strict"
    assert len(server.token) >= 32
    assert "Set-Cookie" not in Answer(server, "/").headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:PORT", None]
)
def test_a_foreign_host_is_refused_even_with_the_token(server: LiveServer, host: str | None) -> None:
    host = host and host.replace("PORT", str(server.server_port))
    assert Answer(server, with_token(server, "/state"), Host=host).status == 403


def test_the_names_of_this_machine_are_its_own(server: LiveServer) -> None:
    assert Answer(server, with_token(server, "/"), Host=f"localhost:{server.server_port}").status == 200
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_it_can_only_be_read(server: LiveServer, method: str) -> None:
    assert Answer(server, with_token(server, "/state"), method).status == 405


@pytest.mark.parametrize(
    "path",
    ["/x", "/state/", "/../run.json", "/run.json", "/report.html", "/%2e%2e/log.jsonl", "/log.jsonl", "*"],
)
def test_only_fixed_addresses_exist(server: LiveServer, path: str) -> None:
    assert Answer(server, with_token(server, path)).status == 404


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_cached_and_nothing_comes_from_elsewhere(server: LiveServer, path: str) -> None:
    headers = Answer(server, with_token(server, path)).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "Python" not in headers["Server"]
    # The written page runs its own scripts, so it is shut off from this server; the live page runs no others.
    assert ("sandbox allow-scripts" in policy) == (path == "/report")
    assert ("script-src 'unsafe-inline'" in policy) == (path == "/report")


def test_what_a_run_holds_is_never_markup(server: LiveServer, run: Run) -> None:
    page = Answer(server, with_token(server, "/"))
    assert HOSTILE.encode() not in page.body
    state = Answer(server, with_token(server, "/state"))
    assert state.headers["Content-Type"] == "application/json; charset=utf-8"
    assert HOSTILE in json.loads(state.body)["subject"]
    script = Answer(server, with_token(server, "/live.js")).body.decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", script)


def test_a_name_of_a_run_directory_is_escaped(run: Run) -> None:
    moved = run.path.rename(run.path.with_name("<b>run & co"))
    with LiveServer(Follower(moved)) as server:
        assert b"<title>&lt;b&gt;run &amp; co (live)</title>" in server.page()


def test_the_final_page_is_there_once_the_run_has_ended(server: LiveServer, run: Run) -> None:
    assert Answer(server, with_token(server, "/report")).body == b"<title>the final page</title>"
    with run.lease():
        assert Answer(server, with_token(server, "/report")).status == 404


def test_a_run_directory_that_goes_away_is_said_and_the_server_stays(server: LiveServer, run: Run) -> None:
    away = run.path.rename(run.path.with_name("away"))
    answer = Answer(server, with_token(server, "/state"))
    assert answer.status == 503
    assert b"is not a run directory" in answer.body
    away.rename(run.path)
    assert Answer(server, with_token(server, "/state")).status == 200


def test_many_lookers_on_read_the_run_once(server: LiveServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Answer(server, with_token(server, "/state")).body
    run.log.append("fault", text="after that")
    assert Answer(server, with_token(server, "/state")).body == first
    monkeypatch.setattr("distlandscape.report.live.server.FRESH_SECONDS", -1.0)
    assert b"after that" in Answer(server, with_token(server, "/state")).body


@pytest.mark.parametrize("port", [-1, 65536, "taken"])
def test_a_port_that_cannot_be_had(port: int | str, run: Run, server: LiveServer) -> None:
    number = server.server_port if port == "taken" else int(port)
    with pytest.raises(InputError, match=f"port {number} of 127.0.0.1 cannot be served .*; choose another with --port"):
        LiveServer(Follower(run.path), number)


@pytest.mark.parametrize("broken", ['a b=1; {"}; x', "=; ;;", "a=\x80\xff; b", 'x="unclosed; y=1', "café=1"])
def test_a_broken_cookie_of_another_program_locks_nobody_out(server: LiveServer, broken: str) -> None:
    assert Answer(server, with_token(server, "/"), Cookie=broken).status == 200
    assert Answer(server, "/state", Cookie=f"{broken}; {server.cookie}={server.token}").status == 200
    assert Answer(server, "/state", Cookie=broken).status == 403


def connect(server: LiveServer, said: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.server_port), timeout=10)
    connection.sendall(said)
    return connection


def test_connections_that_say_nothing_make_room(server: LiveServer) -> None:
    silent = [connect(server, b"GET /") for _ in range(3 * CONNECTIONS)]
    assert Answer(server, with_token(server, "/state")).status == 200
    assert silent[0].recv(1) == b""  # the oldest was let go
    for connection in silent:
        connection.close()


def test_a_client_that_sends_a_byte_now_and_then_is_let_go(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distlandscape.report.live.server.SOCKET_SECONDS", 0.2)
    with connect(server, b"GET / HTTP/1.0\r\n") as slow:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            send_until_refused(slow, began + 10)
    assert time.monotonic() - began < 5


def send_until_refused(connection: socket.socket, end: float) -> None:
    """Each byte in time, the request never whole."""
    while time.monotonic() < end:
        connection.sendall(b"x")
        time.sleep(0.05)


def test_too_many_requests_at_once_are_refused_politely(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(server, "state", lambda: b"{}" if answers.wait(20) else b"")
    request = f"GET {with_token(server, '/state')} HTTP/1.0\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode()
    busy = [connect(server, request) for _ in range(CONNECTIONS)]
    while len(server._heard) < CONNECTIONS:
        time.sleep(0.01)
    with connect(server) as refused:
        assert b" 503 " in refused.recv(1000)
    answers.set()
    assert all(b" 200 " in connection.recv(1000) for connection in busy)
    for connection in busy:
        connection.close()
    assert Answer(server, with_token(server, "/")).status == 200


LIMITED = """
import resource, socket, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from distlandscape.report.live.server import CONNECTIONS, LiveServer
from distlandscape.report.live.state import Follower
with LiveServer(Follower(sys.argv[1])) as server:
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    print(server.server_port, server.token, flush=True)
    sys.stdin.read()
"""


def test_a_limit_of_descriptors_does_not_end_it(run: Run) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LIMITED, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port, token = process.stdout.readline().split()
        many = [socket.create_connection(("127.0.0.1", int(port)), timeout=10) for _ in range(200)]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/state?token={token}", timeout=20) as answer:
            assert answer.status == 200
        for connection in many:
            connection.close()
        process.communicate("", timeout=20)
        assert process.returncode == 0
