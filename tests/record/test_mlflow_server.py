"""The same mirror through a real tracking server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distlandscape.record.mlflow_mirror import MlflowMirror
from tests.record.fabricated import add_checkpoints, content, finish, start_run


@pytest.fixture
def server(out: Path) -> Iterator[str]:
    """A real tracking server on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{out}/mlflow.db", "--artifacts-destination", str(out / "served")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            _wait_for(lambda: _answers(f"{uri}/health"), seconds=140)
            yield uri
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_real_server_holds_the_same(out: Path, server: str, capfd: pytest.CaptureFixture[str]) -> None:
    run = start_run(out)
    add_checkpoints(run, 2)
    mirror = MlflowMirror(run, server)
    assert mirror.push()
    finish(run)
    assert mirror.push(final=True)
    assert mirror.push(final=True)
    assert capfd.readouterr() == ("", "")
    held = content(mirror)
    assert sorted(held) == sorted([run.path.name, "step-000000", "step-000010"])
    assert held[run.path.name]["metrics"]["loss"] == [(0, 1.0), (10, 0.5)]
    assert "tables/checkpoints.parquet" in held[run.path.name]["files"]
    assert (out / "served").is_dir()
    assert list(Path.cwd().iterdir()) == []
