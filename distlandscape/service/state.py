"""The state folder: what runs, since when, where; private to its owner."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from distlandscape.errors import InputError
from distlandscape.files import write_text
from distlandscape.service.processes import Process, stamped
from distlandscape.state_folder import default_folder, prepare


@dataclass(frozen=True)
class Services:
    """What one ``up`` started.

    Attributes:
        stamp: what all its processes carry in their environment.
        processes: the processes it started itself, by name (ray, mlflow).
        ray: address of Ray's job server and dashboard.
        mlflow: address of the tracking server.
        gcs: address programs join Ray by.
        temp: Ray's own folder of sockets and logs.
    """

    stamp: str
    processes: dict[str, Process]
    ray: str
    mlflow: str
    gcs: str
    temp: str

    @property
    def alive(self) -> list[str]:
        """Names of the services whose process runs."""
        return [name for name, process in self.processes.items() if process.alive]

    def everything(self) -> list[Process]:
        """All living processes that belong to it, workers and jobs included."""
        own = {process for process in self.processes.values() if process.alive}
        return sorted(own | set(stamped(self.stamp)), key=lambda process: process.pid)


class State:
    """The folder ``up``, ``down`` and the jobs client share.

    Layout: ``services.json`` (what runs), ``ray-token`` (mode 0600), ``mlflow.db`` and ``artifacts/`` (the tracking
    server's), ``logs/``. The folder has mode 0700.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or default_folder()).absolute()
        self.token = self.folder / "ray-token"
        self.record = self.folder / "services.json"
        self.logs = self.folder / "logs"

    def prepare(self) -> None:
        """Make the folder, for its owner alone.

        Raises:
            InputError: it cannot be made, belongs to somebody else, or another user could put one in its place.
        """
        prepare(self.folder, self.logs.name)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the folder while services are started or ended.

        Raises:
            InputError: another command does that now.
        """
        self.prepare()
        with os.fdopen(os.open(self.folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"another command is starting or stopping the services of {self.folder}; wait until it has ended"
                ) from None
            yield

    def make_token(self) -> Path:
        """Ray's token, made at the first call; a file only its owner reads."""
        if self.token.exists():
            self.token.chmod(0o600)
            return self.token
        descriptor = os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        return self.token

    def read(self) -> Services | None:
        """What was recorded last; None where nothing is, or the record is broken."""
        try:
            found = json.loads(self.record.read_text(encoding="utf-8"))
            processes = {name: Process(**process) for name, process in found.pop("processes").items()}
            return Services(processes=processes, **found)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, services: Services) -> None:
        """Record what runs."""
        write_text(self.record, json.dumps(asdict(services), indent=1))
        self.record.chmod(0o600)

    def forget(self) -> None:
        """Nothing runs any more."""
        self.record.unlink(missing_ok=True)
