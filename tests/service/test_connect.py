"""Which token a server gets to see."""

from __future__ import annotations

import http.server
import json
import os
import threading
from unittest import mock

import pytest

from distlandscape.errors import InputError
from distlandscape.service import connect as connecting
from distlandscape.service.connect import connect
from distlandscape.service.processes import Process
from distlandscape.service.state import Services, State

LOCAL, FOREIGN = "http://127.0.0.1:8265", "https://cluster.example:8265"


@pytest.fixture
def seen(monkeypatch):
    """The environment Ray's client found, and the address it was given."""
    seen = {}

    def client(address):
        seen.update({name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")})
        seen["address"] = (address, os.environ["RAY_API_SERVER_ADDRESS"])

    monkeypatch.setattr(connecting, "_client", client)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, "")  # so that what connect sets is taken back
        monkeypatch.delenv(name)
    return seen


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path)
    state.write(Services("s", {"ray": Process.of(os.getpid())}, LOCAL, "", "", ""))
    state.make_token()
    return state


def test_the_own_server_gets_the_own_token_whatever_the_environment_says(state, seen, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    connect(state)
    assert seen == {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": None,
        "RAY_AUTH_TOKEN_PATH": str(state.token),
        "address": (LOCAL, LOCAL),
    }


@pytest.mark.parametrize(("address", "attempts"), [(None, 3), (FOREIGN, 1)])
def test_a_busy_head_of_our_own_is_asked_again(state, seen, monkeypatch, address, attempts):
    refused = []

    def busy(address):
        refused.append(address)
        if len(refused) < 3:
            raise ConnectionError("Failed to connect to Ray")

    monkeypatch.setattr(connecting, "_client", busy)
    monkeypatch.setattr(connecting, "PAUSE", 0.0)
    if address is None:
        connect(state)
    else:
        with pytest.raises(InputError, match="no Ray job server answers"):
            connect(state, address)
    assert len(refused) == attempts


def test_patience_with_a_head_of_our_own_ends(state, seen, monkeypatch):
    monkeypatch.setattr(connecting, "_client", mock.Mock(side_effect=ConnectionError))
    monkeypatch.setattr(connecting, "PATIENCE", -1.0)
    with pytest.raises(InputError, match="no Ray job server answers"):
        connect(state)


def test_another_server_gets_no_token_of_ours(state, seen):
    connect(state, FOREIGN)
    assert seen == {
        "RAY_AUTH_MODE": "disabled",
        "RAY_AUTH_TOKEN": None,
        "RAY_AUTH_TOKEN_PATH": None,
        "address": (FOREIGN, FOREIGN),
    }


def test_another_server_gets_the_token_it_was_given(state, seen, monkeypatch, capsys):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/theirs")
    connect(state, FOREIGN)
    assert (seen["RAY_AUTH_MODE"], seen["RAY_AUTH_TOKEN_PATH"]) == ("token", "/theirs")
    assert capsys.readouterr().err == ""
    connect(state, FOREIGN.replace("https", "http"))
    assert "use https or an SSH tunnel" in capsys.readouterr().err


ANSWERS = {
    "another program with a password": (401, {}, "is no job server of Ray"),
    "another program that forbids": (403, {}, "is no job server of Ray"),
    "another program": (200, {}, "is no job server of Ray"),
    "another program with JSON": (200, {"/api/version": {"version": 3}}, "is no job server of Ray"),
    "another program with a list": (200, {"/api/version": [3]}, "is no job server of Ray"),
    "another program with versions": (200, {"/api/version": {"ray_version": "none"}}, "is no job server of Ray"),
    "another program of old": (200, {"/api/version": {"ray_version": "1.0"}}, "is no job server of Ray"),
    "another program without that page": (404, {}, "is no job server of Ray"),
    "a program with a fault": (500, {}, "is no job server of Ray"),
    "Ray with a token": (401, {"/api/authentication_mode": {"authentication_mode": "token"}}, "wants another token"),
    "Ray with another token": (403, {"/api/authentication_mode": {"authentication_mode": "token"}}, "another token"),
    "one that never answers": (None, {}, "no Ray job server answers"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_who_answers_is_told_by_what_it_is(name, state, monkeypatch):
    """Ray's own client against a port that holds something."""
    status, pages, words = ANSWERS[name]
    over = threading.Event()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if status is None:
                over.wait(20)
                return
            self.send_response(200 if self.path in pages else status)
            self.end_headers()
            self.wfile.write(json.dumps(pages.get(self.path, "401 or 404")).encode())

        def log_message(self, *arguments):
            pass

    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.5)
    for variable in ("RAY_AUTH_MODE", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(variable, "")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(InputError, match=words):
            connect(state, f"http://127.0.0.1:{server.server_port}")
        over.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "error", [PermissionError("a file of ours"), AttributeError("a mistake"), MemoryError()], ids=repr
)
def test_what_goes_wrong_on_this_side_is_not_laid_to_the_server(error, state, seen, monkeypatch):
    monkeypatch.setattr(connecting, "_client", mock.Mock(side_effect=error))
    with pytest.raises(type(error)):
        connect(state, FOREIGN)
