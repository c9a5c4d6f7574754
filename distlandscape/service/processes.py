"""Processes on Linux, read from /proc: which are ours, where they listen, how to end them and no others."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

STAMP = "DISTLANDSCAPE_SERVICE"  # a variable of the environment that everything ``up`` starts inherits
LISTENING = "0A"
AGENTS = (b"ray::DashboardAgent", b"ray::RuntimeEnvAgent")  # what Ray calls them
PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class Process:
    """One process; the time of its start tells it from a later one with the same number.

    Attributes:
        pid: its number.
        started: clock ticks from the machine's start to its own.
        boot: id of the machine's start.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this number now; None where there is none, or only its exit code is left of it."""
        fields = _fields(pid)
        return None if fields is None or fields[0] in "ZX" else cls(pid, int(fields[19]), boot_id())

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Process.of(self.pid) == self


def boot_id() -> str:
    """Id of the machine's start: clock ticks count from there."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def stamped(stamp: str) -> list[Process]:
    """All living processes whose environment carries the stamp: those one ``up`` started, and all they started."""
    wanted = f"{STAMP}={stamp}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        process = Process.of(int(folder.name)) if wanted in _environment(int(folder.name)) else None
        if process is not None and process.pid != os.getpid():
            found.append(process)
    return found


def with_variable(processes: Iterable[Process], name: str) -> list[Process]:
    """Those that began with a variable in their environment."""
    start = f"{name}=".encode()
    return [process for process in processes if any(v.startswith(start) for v in _environment(process.pid))]


def orphaned_agents() -> list[Process]:
    """Agents of this user's Rays whose raylet is gone; they live on until they give up to reach its GCS."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = folder.stat().st_uid == os.getuid()
            title = (folder / "cmdline").read_bytes().rstrip(b"\0")
        except OSError:
            continue
        fields = _fields(int(folder.name)) if mine and title.startswith(AGENTS) else None
        parent = None if fields is None else Path(f"/proc/{fields[1]}/comm")
        process = Process.of(int(folder.name))
        if parent is not None and process is not None and "raylet" not in _lines(parent):
            found.append(process)
    return sorted(found, key=lambda process: process.pid)


def environment_of(process: Process) -> dict[str, str]:
    """The environment a process began with; empty for another user's, or where it is gone."""
    pairs = (os.fsdecode(variable).partition("=") for variable in _environment(process.pid))
    return {name: value for name, separator, value in pairs if separator}


def end(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Ask processes to end, and kill those that did not within ``seconds``; returns what is alive even then."""
    processes = list(processes)
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for process in processes:
            if process.alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, number)
        deadline = time.monotonic() + patience
        while any(process.alive for process in processes) and time.monotonic() < deadline:
            time.sleep(0.05)
    return [process for process in processes if process.alive]


def listening(processes: Iterable[Process]) -> list[tuple[str, int]]:
    """Address and port of every TCP socket the processes listen on, sorted."""
    mine = {inode for process in processes for inode in _sockets(process.pid)}
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in _lines(Path("/proc/net") / table)[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in mine:
                address, _, port = fields[1].partition(":")
                found.add((_readable(address, family), int(port, 16)))
    return sorted(found)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    return address.startswith(("127.", "::ffff:127.")) or address in ("::1", "localhost")


def free_port(wanted: int | None = None) -> int:
    """A TCP port of 127.0.0.1 nobody listens on: the wanted one where it is free.

    Another is below those that the system gives to outgoing connections, which would take it again before a program
    that starts slowly listens.
    """
    tried: tuple[int, ...] = () if wanted is None else (wanted,)
    for port in (*tried, *random.sample(PORTS, 100)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _environment(pid: int) -> list[bytes]:
    """The environment a process began with; empty for another user's, or where it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat behind the program's name, which may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []


def _sockets(pid: int) -> set[str]:
    """Inodes of the sockets a process holds."""
    found = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _readable(hexadecimal: str, family: socket.AddressFamily) -> str:
    """The kernel writes addresses as words of four bytes in the machine's order."""
    words = bytes.fromhex(hexadecimal)
    swapped = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    return socket.inet_ntop(family, swapped)
