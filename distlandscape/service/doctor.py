"""``doctor``: what of this machine and its services could go wrong, each line with its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from distlandscape.redaction import openable
from distlandscape.service.connect import ADDRESS
from distlandscape.service.processes import is_loopback, listening, orphaned_agents
from distlandscape.service.programs import answers, http_status
from distlandscape.service.state import Services, State

OK, WARNING, ERROR = "ok", "warning", "error"
# The oldest versions without known holes (mlflow, torch) or with what is used (ray).
OLDEST = {"torch": (2, 10), "ray": (2, 50), "mlflow": (3, 11), "numpy": (2, 0), "scipy": (1, 13), "pyarrow": (17,)}
OLDEST_PYTHON = (3, 11)
GB = 2**30
AGAIN = "distlandscape down, then up"


@dataclass(frozen=True)
class Line:
    """One finding.

    Attributes:
        name: what was looked at.
        level: ok, warning or error.
        text: what was found.
        remedy: what to do about it; empty where nothing is to be done.
    """

    name: str
    level: str
    text: str
    remedy: str = ""


def examine(state: State, out: Path) -> list[Line]:
    """Look at everything; starts nothing and changes nothing."""
    services = state.read()
    lines = [_python(), *_packages(), _cores(), _gpus()]
    lines += [
        _room("shared memory", Path("/dev/shm"), 1, "Ray keeps vectors there: enlarge it (Docker: --shm-size=8g)")
    ]
    lines += [_room("disk", _existing(out), 2, "make room, or choose another folder with --out")]
    lines += [*_tokens(state), *_services(services), _left_over(), *_named_servers()]
    return lines


def _python() -> Line:
    found = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Line("python", ERROR, found, "install Python 3.11 or newer")
    return Line("python", OK, found)


def _packages() -> Iterator[Line]:
    for name, oldest in OLDEST.items():
        wanted = ".".join(map(str, oldest))
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Line(name, ERROR, "not installed", "install the package with the pins of constraints.txt")
            continue
        numbers = tuple(int(part) for part in found.split("+")[0].split(".")[:2] if part.isdigit())
        old = numbers < oldest
        yield Line(name, ERROR if old else OK, found, f"install {name} {wanted} or newer" if old else "")


def _cores() -> Line:
    usable = len(os.sched_getaffinity(0))
    if usable < 2:
        return Line("cores", WARNING, str(usable), "one core: measure with --workers 0")
    return Line("cores", OK, f"{usable} of {os.cpu_count()}")


def _gpus() -> Line:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Line("gpus", OK, "none; products run on cores")
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Line("gpus", WARNING, "nvidia-smi does not answer", "look at the driver of the GPUs")
    count = done.stdout.count("UUID")
    return Line(
        "gpus", OK if done.returncode == 0 else WARNING, f"{count}", "" if done.returncode == 0 else "see nvidia-smi"
    )


def _room(name: str, folder: Path, gigabytes: int, remedy: str) -> Line:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Line(name, WARNING, f"{folder}: {error.strerror}", remedy)
    little = free < gigabytes * GB
    return Line(name, WARNING if little else OK, f"{free / GB:.1f} GB free in {folder}", remedy if little else "")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _tokens(state: State) -> Iterator[Line]:
    for name, file in (("token of up", state.token), ("Ray's own token", Path.home() / ".ray" / "auth_token")):
        if not file.exists():
            yield Line(name, OK, "none yet")
            continue
        mode = stat.S_IMODE(file.stat().st_mode)
        open_ = bool(mode & 0o077)
        yield Line(name, ERROR if open_ else OK, f"{file}, mode {mode:04o}", f"chmod 600 {file}" if open_ else "")


def _services(services: Services | None) -> Iterator[Line]:
    if services is None or not services.alive:
        left = 0 if services is None else len(services.everything())
        text = "not up" if not left else f"not up, but {left} processes are left of it"
        yield Line("services", WARNING if left else OK, text, "distlandscape down" if left else "")
        return
    for name, url in (("ray", f"{services.ray}/api/version"), ("mlflow", f"{services.mlflow}/health")):
        if name not in services.alive:
            yield Line(f"service {name}", ERROR, "has ended", "distlandscape up starts it again")
        elif name == "ray":
            code = http_status(url, {})  # without its token, on purpose
            text = {401: "asks for its token", None: "does not answer"}.get(code, f"answers {code} without its token")
            yield Line("service ray", OK if code == 401 else ERROR, text, "" if code == 401 else AGAIN)
        else:
            well = answers(url, {})
            text = f"{services.mlflow} {'answers' if well else 'does not answer'}"
            yield Line("service mlflow", OK if well else ERROR, text, "" if well else AGAIN)
    found = listening(services.everything())
    wide = [f"{address}:{port}" for address, port in found if not is_loopback(address)]
    text = f"{len(found)} ports, on loopback" if not wide else f"open to the network: {', '.join(wide)}"
    yield Line("sockets", ERROR if wide else OK, text, "distlandscape down" if wide else "")


def _left_over() -> Line:
    """Of Rays whose driver was killed; what else they had ended with it."""
    pids = " ".join(str(process.pid) for process in orphaned_agents())
    if not pids:
        return Line("left of Ray", OK, "nothing")
    text = f"agents of a Ray that was killed, processes {pids}"
    return Line("left of Ray", WARNING, text, f"they end by themselves within two minutes; at once with: kill {pids}")


def _named_servers() -> Iterator[Line]:
    """Servers elsewhere that the environment names; whether they let us in is not asked."""
    for name, variable, path in (
        ("job server", ADDRESS, "/api/version"),
        ("tracking server", "MLFLOW_TRACKING_URI", "/health"),
    ):
        url = openable(os.environ.get(variable, "")).rstrip("/")
        if url.startswith(("http://", "https://")):
            there = http_status(url + path, {}) is not None
            text = f"{url} {'answers' if there else 'does not answer'}"
            yield Line(name, OK if there else WARNING, text, "" if there else f"start it, or correct {variable}")
