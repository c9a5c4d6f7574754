"""Starting, joining and leaving Ray; safe by default: loopback only, token in a private file."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distlandscape import stopping
from distlandscape.errors import InputError, WorkerFailure
from distlandscape.ray_folder import OwnRayFolder
from distlandscape.runtime import presence
from distlandscape.runtime.address import ADDRESS, JOB, Cluster, environment, find, own_environment
from distlandscape.runtime.handlers import handle_sigterm_by, kept_as_ray_ends, kept_as_ray_starts

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}

_until_disconnect = contextlib.ExitStack()
atexit.register(_until_disconnect.close)  # a process that ends before it has left
_lock = threading.RLock()  # Ray and the environment are the whole process's
_users = 0  # who connected here and has not left


def check() -> None:
    """Say now what ``connect`` would refuse: nothing is started, joined or left changed.

    Raises:
        InputError: the environment names a cluster that cannot be joined.
    """
    with _lock:
        if not is_connected():
            with own_environment():
                find()


def connect(cpus: float) -> bool:
    """Join the Ray this process belongs to, or start a local one with room for ``cpus``; whether to ``disconnect``.

    RAY_ADDRESS names a cluster to join; a job finds its own. Without, or with ``local``, a Ray of this process alone is
    started, on loopback. One that was joined or started here is shared by all who connect, in whichever thread, until
    the last has left. A Ray that the user connected this process to is used, and left as it is: False.

    Raises:
        InputError: the environment names a cluster that cannot be joined.
        WorkerFailure: a local Ray did not come up, twice.
    """
    global _users
    with _lock:
        if is_connected():
            if not _users:
                return False
        else:
            _enter(cpus)
        _users += 1
        return True


def disconnect() -> None:
    """Leave Ray; for the last who connected, a local one that this process started ends with it."""
    global _users
    with _lock:
        _users -= 1
        if not _users:
            _until_disconnect.close()


def _enter(cpus: float) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_environment())
        cluster, before = find(), signal.getsignal(signal.SIGTERM)
        with own_sigterm():
            if cluster is None:
                _start(cpus, stack)
            else:
                _join(cluster, stack)
        stack.callback(_give_sigterm_back, before, signal.getsignal(signal.SIGTERM))
        stack.callback(_shut_down)
        _until_disconnect.push(stack.pop_all())


def _shut_down() -> None:
    import ray

    left_over = presence.folder() if presence.ended() else None
    with kept_as_ray_ends():
        ray.shutdown()
    if left_over is not None:
        presence.end_agents(left_over)


@contextlib.contextmanager
def own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: Ray puts its own in place, which would end a run as if it had failed.

    Ray's stays where there is none, until ``disconnect``: by default a process dies at once, and parts of its Ray live
    on for half a minute.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except BaseException:
        handle_sigterm_by(before)
        raise
    if before != signal.SIG_DFL:
        handle_sigterm_by(before)


def _init(**options: Any) -> None:
    import ray

    with kept_as_ray_starts():
        ray.init(**options, job_config=_job_config(), **QUIET)


def _give_sigterm_back(before: Any, ray_s: Any) -> None:
    if signal.getsignal(signal.SIGTERM) == ray_s != before:  # else it is the user's by now
        handle_sigterm_by(before)


def node_address() -> str:
    """Address of this node that the workers of the session can reach."""
    from ray._private.worker import global_worker

    address: str = global_worker.node_ip_address
    return address


def is_connected() -> bool:
    """Whether this process is connected to a Ray, whoever connected it; where not, Ray's calls would start one."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _join(cluster: Cluster, stack: contextlib.ExitStack) -> None:
    import ray

    if cluster.on_loopback:
        stack.enter_context(_on_loopback())
    try:
        with environment({ADDRESS: None}):
            _init(address=cluster.address)
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        raise InputError(
            f"the Ray at {cluster.address} answers but cannot be joined ({_first_line(error)}); give it and this"
            " program the same versions of Ray and Python"
        ) from error


def _start(cpus: float, stack: contextlib.ExitStack) -> None:
    """Start a local Ray; what has to hold until it is left goes onto the stack."""
    surroundings = {
        ADDRESS: None,
        JOB: None,
        # Undocumented: on Linux the switch that allows clusters elsewhere, turned off, makes every port bind 127.0.0.1.
        # tests/runtime/test_session.py holds Ray to it. Ray turns its token on by itself for a local start.
        LOOPBACK: "0",
        # Ray's niceness of 15 lets whatever else runs here starve the products.
        **{name: os.environ.get(name, "0") for name in ("RAY_USAGE_STATS_ENABLED", "RAY_worker_niceness")},
    }
    with environment(surroundings):
        stack.enter_context(_on_loopback())
        folder = OwnRayFolder()
        stack.callback(folder.remove)
        _private_token()
        for last in (False, True):
            try:
                stopping.look()
                _init(
                    address="local",
                    num_cpus=max(int(-(-cpus // 1)), os.cpu_count() or 1),
                    include_dashboard=False,
                    _temp_dir=str(folder.ray),  # else a folder that all users of the machine share, and may write in
                )
                stopping.look()
                break
            except BaseException as error:
                logs = _end_half_started(error, folder.ray)
                if isinstance(error, (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError)):
                    raise InputError(
                        f"Ray cannot keep its files where temporary files are ({error}); set TMPDIR to a folder of"
                        " yours, or compute in this process, without workers"
                    ) from error
                if last and isinstance(error, Exception):
                    folder.keep()
                    raise WorkerFailure(
                        f"Ray did not come up on this machine, twice ({_first_line(error)}); its logs are in {logs}:"
                        " look there, try again when less runs here, or compute in this process, without workers"
                    ) from error
                if not isinstance(error, Exception):
                    raise
        _private_token()


class _Paths(list[str]):
    """Folders workers import from: of those that Ray adds only where this process imports from itself.

    Ray adds the working directory in front of all others; a file ``torch.py`` in it would be run by the workers alone.
    """

    def extend(self, paths: Iterable[str]) -> None:
        ours = {Path(path).resolve() for path in sys.path}
        super().extend(path for path in paths if Path(path).resolve() in ours)


def _job_config() -> Any:
    """What Ray is told of this process beside its address."""
    from ray.job_config import JobConfig

    config = JobConfig()
    config._py_driver_sys_path = _Paths()
    return config


def _end_half_started(error: BaseException, temp: Path) -> str:
    """End the processes of a Ray that did not come up, which Ray leaves running; returns the folder of its logs."""
    import ray
    from ray._private.node import Node

    logs, trace = str(temp), error.__traceback__
    while trace is not None:
        node = trace.tb_frame.f_locals.get("self")  # nobody else holds the node that failed in its own constructor
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, wait=True)
            logs = getattr(node, "_logs_dir", logs)
        trace = trace.tb_next
    with kept_as_ray_ends():
        ray.shutdown()
    return logs


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Make Ray take 127.0.0.1 for this node's address, also where it was imported before."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _private_token() -> None:
    """Ray writes its token readable for everyone; make it the owner's, or make one that is, before Ray does."""
    token = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):  # then Ray says what it cannot write
        token.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    if token.exists() and token.stat().st_uid == os.getuid():
        token.chmod(0o600)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
