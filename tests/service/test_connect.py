"""Which token a server gets to see."""

from __future__ import annotations

import os
from unittest import mock

import pytest
import ray.job_submission

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

    monkeypatch.setattr(ray.job_submission, "JobSubmissionClient", client)
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

    monkeypatch.setattr(ray.job_submission, "JobSubmissionClient", busy)
    monkeypatch.setattr(connecting, "PAUSE", 0.0)
    if address is None:
        connect(state)
    else:
        with pytest.raises(InputError, match="no Ray job server answers"):
            connect(state, address)
    assert len(refused) == attempts


def test_patience_with_a_head_of_our_own_ends(state, seen, monkeypatch):
    monkeypatch.setattr(ray.job_submission, "JobSubmissionClient", mock.Mock(side_effect=ConnectionError))
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
