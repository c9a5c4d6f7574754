"""Whether the Ray of this process is still there.

Where its raylet or its GCS is gone, Ray ends the process without a word: at the next vector it stores, or after a
minute. Who looks first can say so, and end in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from distlandscape.errors import WorkerFailure

PROBE_SECONDS = 5.0  # between two looks at a GCS that another process started
PATIENCE_SECONDS = 30.0  # that such a GCS may refuse connections, as it may be started again; Ray gives up after 60

_probed = _answered = 0.0


def require_ray() -> None:
    """Look whether this process's Ray is there.

    Raises:
        WorkerFailure: it has ended.
    """
    gone = ended()
    if gone:
        raise WorkerFailure(
            f"the Ray of this run has ended ({gone}), and with it all workers; resume the run, with another Ray"
        )


def ended() -> str:
    """What of this process's Ray has ended, in words; empty where nothing has that is known of."""
    node = _node()
    if node is None:
        return ""
    for name, started in node.all_processes.items():
        for info in started:
            if name in ("gcs_server", "raylet") and info.process.poll() is not None:
                return f"its {name}, process {info.process.pid}, is gone"
    return "" if node.all_processes else _of_another(str(node.gcs_address))


def folder() -> Path | None:
    """The session folder of a Ray that this process started."""
    node = _node()
    return Path(node.get_session_dir_path()) if node is not None and node.all_processes else None


def end_agents(session: Path) -> None:
    """End what a raylet leaves behind that was killed: its agents try for a minute to report to a GCS that is gone."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or gone
            files = [str(file.readlink()) for file in (process / "fd").iterdir()]
            if int(process.name) != os.getpid() and any(file.startswith(f"{session}/") for file in files):
                os.kill(int(process.name), signal.SIGKILL)


def _node() -> Any:
    worker: Any = sys.modules.get("ray._private.worker")
    return None if worker is None else worker._global_node


def _of_another(address: str) -> str:
    """The same of a Ray that was joined: whether its GCS refuses connections, and has done so for a while."""
    global _probed, _answered
    now = time.monotonic()
    if now < _probed + PROBE_SECONDS:
        return ""
    if now > _probed + 2 * PATIENCE_SECONDS:  # nobody has looked for so long, as this process computed or was stopped
        _answered = now
    _probed = now
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 1.0).close()
    except ConnectionRefusedError:
        return f"its GCS at {address} refuses connections" if now > _answered + PATIENCE_SECONDS else ""
    except (OSError, ValueError):  # slow, or far: Ray will say so
        pass
    _answered = now
    return ""
