"""Starting, joining and leaving Ray; safe by default: loopback only, token in a private file."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def connect(cpus: float) -> bool:
    """Join the Ray this process belongs to, or start a local one with room for ``cpus``; True if it was started.

    A job finds its cluster through the environment Ray sets; nothing else is joined, because a stale cluster file
    could name a Ray that is gone.
    """
    inside = "RAY_ADDRESS" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if not inside:
        _stay_on_loopback()
    import ray

    if ray.is_initialized():
        return False
    if inside:
        with own_sigterm():
            ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
        return True
    _private_token()
    with own_sigterm():
        ray.init(
            address="local",
            num_cpus=max(int(-(-cpus // 1)), os.cpu_count() or 1),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    _private_token()
    return True


def _stay_on_loopback() -> None:
    """Make every port of a Ray to be started bind 127.0.0.1, also where ray was imported before.

    Undocumented: on Linux the switch that allows clusters elsewhere, turned off, does it. tests/runtime/test_session.py
    holds Ray to it. Ray turns its token on by itself for a local start.
    """
    os.environ.setdefault(LOOPBACK, "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 lets whatever else runs here starve the products
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = os.environ[LOOPBACK] != "0"


@contextlib.contextmanager
def own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: Ray puts its own in place, which would end a run as if it had failed."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def disconnect() -> None:
    """Leave Ray; a local one that this process started ends with it."""
    import ray

    ray.shutdown()


def node_address() -> str:
    """Address of this node that the workers of the session can reach."""
    import ray

    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def _private_token() -> None:
    """Ray writes its token readable for everyone; make it the owner's."""
    token = Path.home() / ".ray" / "auth_token"
    if token.exists() and token.stat().st_uid == os.getuid():
        token.chmod(0o600)
