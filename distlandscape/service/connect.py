"""Which job server a command means, and which token it may see."""

from __future__ import annotations

import logging
import os
import time
import urllib.parse
from typing import Any

from distlandscape.errors import InputError
from distlandscape.output import say
from distlandscape.redaction import redact
from distlandscape.service.jobs import Jobs, refused, silent
from distlandscape.service.processes import is_loopback
from distlandscape.service.programs import asks_for_a_token
from distlandscape.service.state import State

ADDRESS = "RAY_API_SERVER_ADDRESS"
TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
ANSWER_SECONDS = 30.0  # of silence, after which a server does not answer
PATIENCE, PAUSE = 20.0, 0.5  # seconds that a head of ``up`` may be too busy to answer
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def connect(state: State, address: str | None = None) -> Jobs:
    """The client of the job server that ``address``, else the environment, else ``up`` names.

    The token of ``up`` goes to the server of ``up`` alone; any other server gets the one the environment names.

    Raises:
        InputError: no server is named, the address is none, or nothing answers there.
    """
    chosen = choose(state, address)
    local = is_local(state, chosen)
    if local:
        os.environ.pop(TOKENS[0], None)
        os.environ[TOKENS[1]] = str(state.token)
    if any(name in os.environ for name in TOKENS):
        os.environ["RAY_AUTH_MODE"] = "token"  # else Ray's client sends none; it has to be there before ray is imported
        parts = urllib.parse.urlsplit(chosen)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            say("warning: http shows the token to everyone on the way; use https or an SSH tunnel")
    else:
        os.environ["RAY_AUTH_MODE"] = "disabled"  # not the token that lies in the home directory
    os.environ[ADDRESS] = chosen  # Ray's client lets the environment overrule its argument
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from packaging.version import InvalidVersion
    from ray.exceptions import AuthenticationError
    from requests.exceptions import RequestException, Timeout

    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    patient_until = time.monotonic() + (PATIENCE if local and _head_is_alive(state) else 0.0)
    shown = redact(chosen)
    while True:
        try:
            return Jobs(_client(chosen), chosen)
        except (ConnectionError, Timeout):
            if time.monotonic() > patient_until:
                raise silent(shown) from None
        except AuthenticationError:
            raise (refused(shown) if asks_for_a_token(chosen) else _another_program(shown)) from None
        except (RuntimeError, RequestException, LookupError, TypeError, InvalidVersion) as error:
            raise _another_program(shown) from error  # it names no version, or one that is none or too old
        time.sleep(PAUSE)


def _client(address: str) -> Any:
    """Ray's client, which otherwise waits forever for a server that takes a request and never answers."""
    from ray.job_submission import JobSubmissionClient

    class Bounded(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": ANSWER_SECONDS, **options})

    return Bounded(address)


def _another_program(address: str) -> InputError:
    return InputError(
        f"what answers at {address} is no job server of Ray; correct --address (the port of Ray's dashboard is usually"
        " 8265)"
    )


def _head_is_alive(state: State) -> bool:
    services = state.read()
    return services is not None and "ray" in services.alive


def choose(state: State, address: str | None) -> str:
    """The address a command means.

    Raises:
        InputError: none is named, or it is not http(s)://HOST:PORT.
    """
    chosen = _named(state, address)
    if chosen is None:
        raise InputError(
            "no service is up and no address is given; start one with: distlandscape up, or give --address"
            " http://HOST:PORT"
        )
    parts = urllib.parse.urlsplit(chosen)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise InputError(
            "the address of a job server is http://HOST:PORT or https://HOST:PORT, without a name or password in it;"
            " correct --address"
        )
    return chosen.rstrip("/")


def is_named(state: State, address: str | None) -> bool:
    """Whether there is a server a command could mean."""
    return _named(state, address) is not None


def _named(state: State, address: str | None) -> str | None:
    services = state.read()
    return address or os.environ.get(ADDRESS) or (services.ray if services is not None and services.alive else None)


def is_local(state: State, address: str) -> bool:
    """Whether an address is that of the head ``up`` started."""
    services = state.read()
    return services is not None and bool(services.alive) and services.ray == address
