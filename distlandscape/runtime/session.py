"""Starting, joining and leaving Ray; safe by default: loopback only, token in a private file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

SAFE = {
    # Undocumented: on Linux 0 makes every Ray port bind 127.0.0.1; tests/runtime/test_session.py holds it to that.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def connect(cpus: float) -> bool:
    """Join the Ray this process belongs to, or start a local one with room for ``cpus``; True if it was started.

    A job finds its cluster through the environment Ray sets; nothing else is joined, because a stale cluster file
    could name a Ray that is gone.
    """
    inside = "RAY_ADDRESS" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if not inside:
        for name, value in SAFE.items():
            os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        return False
    if inside:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
        return True
    _private_token()
    ray.init(
        address="local",
        num_cpus=max(int(-(-cpus // 1)), os.cpu_count() or 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    _private_token()
    return True


def disconnect() -> None:
    """Leave Ray; a local one that this process started ends with it."""
    import ray

    ray.shutdown()


def _private_token() -> None:
    """Ray writes its token readable for everyone; make it the owner's."""
    token = Path.home() / ".ray" / "auth_token"
    if token.exists() and token.stat().st_uid == os.getuid():
        token.chmod(0o600)
