"""The run directory: configuration, log, stages, tables, figures of one run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from distlandscape.display import Displayed, Shown
from distlandscape.errors import InputError
from distlandscape.files import (
    PRIVATE,
    open_plain,
    read_plain,
    require_regular,
    require_unchanged,
    write_all,
    write_text,
    write_whole,
)
from distlandscape.parquet_sizes import read_table
from distlandscape.record.config import config_digest, dump_config, identity_digest, load_config
from distlandscape.record.lease import Lease
from distlandscape.record.log import EventLog
from distlandscape.redaction import redact_address, redacted

# What the small files of a run may have, of which all is read at once.
MOST_BYTES = {
    "run.json": 2**20,
    "config.yaml": 2**20,
    "log.jsonl": 2**28,
    "progress.json": 2**16,
    "lease.json": 2**16,
    "result.json": 2**26,
    "mlflow.json": 2**26,
}


@dataclass(frozen=True)
class Stage:
    """The committed outcome of one part of a study: named arrays and plain values."""

    arrays: dict[str, np.ndarray[Any, Any]]
    values: dict[str, Any]


class Run(Displayed):
    """One run directory.

    Layout: ``run.json`` (identity), ``config.yaml`` (resolved), ``log.jsonl`` (events), ``progress.json`` (where it
    is, for who looks on), ``weights/``, ``stages/`` (committed outcomes), ``training/`` and ``basis/`` (state of the
    training, Krylov vectors of the stage under way), ``tables/`` (Parquet), ``figures/`` (PNG), ``result.json``,
    ``report.html``.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = identity
        self.log = EventLog(path / "log.jsonl")

    @classmethod
    def create(cls, out: Path, study: str, config: dict[str, Any], identity: dict[str, Any]) -> Run:
        """Make a new run directory in ``out``; ``config`` is the resolved configuration.

        Raises:
            InputError: ``out`` cannot be written.
            WriteFailed: the disk is full; nothing is left of the directory.
        """
        run_id = uuid.uuid4().hex
        path = out.absolute() / f"{study}-{time.strftime('%Y%m%d-%H%M%S')}-{run_id[:4]}"
        require_writable(out)
        whole = {"run_id": run_id, "study": study, **identity}
        run = cls(path, whole)
        try:
            path.mkdir(parents=True, mode=0o700)
            digests = {"config": config_digest(config), "identity": identity_digest(whole)}
            run.log.append("created", run_id=run_id, **digests)
            write_text(path / "config.yaml", dump_config(_shareable(config)))
            write_text(path / "run.json", json.dumps(whole, indent=2))  # the last: with it the folder is a run
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run directory for reading.

        Raises:
            InputError: it is not one, or a file in it is no regular file or far larger than such files are.
        """
        folder = Path(path)
        require_regular(folder, MOST_BYTES)
        try:
            identity = json.loads(read_plain(folder / "run.json"))
            complete = isinstance(identity, dict) and all(isinstance(identity.get(k), str) for k in ("run_id", "study"))
        except (OSError, ValueError, RecursionError):
            complete = False
        if not complete or not (folder / "config.yaml").is_file():
            raise InputError(
                f"{folder} is not a run directory (no readable run.json in it); give the folder of a run"
            ) from None
        return cls(folder.absolute(), identity)

    def _shown(self) -> Shown:
        ended = self.log.events("ended")
        page = self.path / "report.html"
        tables = sorted(file.stem for file in (self.path / "tables").glob("*.parquet"))
        return Shown(
            f"Run of {self.study}: {self.status}",
            notes=[
                *([("outcome", str(ended[-1].get("detail")))] if ended else []),
                ("run id", self.run_id),
                ("folder", str(self.path)),
                *([("page", str(page))] if page.exists() else []),
                *([("tables", ", ".join(tables))] if tables else []),
            ],
        )

    @property
    def run_id(self) -> str:
        """The run's identity: MLflow's id where tracking answered at the start, else one of its own."""
        return str(self.identity["run_id"])

    def adopt_id(self, run_id: str) -> None:
        """Take over the id a tracking server gave the run, so that one id finds it everywhere."""
        self.log.append("adopted", run_id=run_id)
        self.identity["run_id"] = run_id
        write_text(self.path / "run.json", json.dumps(self.identity, indent=2))

    @property
    def study(self) -> str:
        """Name of the study the run belongs to."""
        return str(self.identity["study"])

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration.

        Raises:
            InputError: it cannot be read.
        """
        return load_config(self.path / "config.yaml")

    @property
    def status(self) -> str:
        """``running`` or the outcome: ``done``, ``unconverged``, ``failed``, ``interrupted``."""
        # By the order of the lines: a clock may have been set back between them.
        turns = [event for event in self.log.events() if event["event"] in ("started", "ended")]
        return str(turns[-1]["status"]) if turns and turns[-1]["event"] == "ended" else "running"

    @property
    def resumable(self) -> bool:
        """Whether to go on makes sense: the run is not finished, nor did it fail of its own settings."""
        status = self.status
        if status == "failed":
            return not self.log.events("ended")[-1].get("final", False)
        return status in ("running", "interrupted")

    def seconds_before(self) -> float:
        """Wall time of the earlier attempts, from each start to the last event that followed it.

        Where a clock was set back, what lies between two lines counts as nothing.
        """
        total = attempt = 0.0
        last: float | None = None
        for event in self.log.events():
            if event["event"] == "started":
                total, attempt, last = total + attempt, 0.0, event["time"]
            elif last is not None:
                attempt, last = attempt + max(0.0, event["time"] - last), event["time"]
        return total

    def lease(self) -> Lease:
        """The exclusive right to write, as a context manager."""
        return Lease(self.path)

    def commit_stage(self, name: str, stage: Stage) -> None:
        """Store a stage's outcome; it counts once its line is in the log."""
        arrays = {key: np.ascontiguousarray(value) for key, value in stage.arrays.items()}
        file = self.path / "stages" / f"{name}.safetensors"
        digest = write_whole(file, lambda path: save_file(arrays, path))
        self.log.append("stage", name=name, sha256=digest, values=stage.values)

    def stage(self, name: str) -> Stage | None:
        """A stage's committed outcome, or None.

        Raises:
            InputError: the stage's file does not match the digest in the log.
        """
        found = [event for event in self.log.events("stage") if event["name"] == name]
        if not found:
            return None
        file = self.path / "stages" / f"{name}.safetensors"
        require_unchanged(file, found[-1]["sha256"])
        try:
            return Stage(load_file(file), found[-1]["values"])
        except SafetensorError as error:
            raise InputError(f"{file} holds no arrays ({error}); start the study again") from error

    def stages(self) -> list[str]:
        """Names of the committed stages, oldest first."""
        return [str(event["name"]) for event in self.log.events("stage")]

    def write_progress(self, now: dict[str, Any]) -> None:
        """Say where the run is, for who looks on; it is no part of the record, so nothing waits for the disk."""
        file = self.path / "progress.json"
        with contextlib.suppress(OSError):
            part = file.with_name(".progress.json.part")
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
            try:
                write_all(descriptor, json.dumps({"time": time.time(), **redacted(now)}).encode())
            finally:
                os.close(descriptor)
            part.replace(file)

    @property
    def progress(self) -> dict[str, Any]:
        """What ``write_progress`` said last; empty where it never did."""
        try:
            now = json.loads(read_plain(self.path / "progress.json"))
        except (OSError, ValueError, RecursionError):
            return {}
        return now if isinstance(now, dict) else {}

    def write_table(self, name: str, table: pa.Table) -> str:
        """Store ``tables/NAME.parquet``; returns its sha256."""
        return write_whole(self.table_file(name), lambda path: pq.write_table(table, path))

    def table_file(self, name: str) -> Path:
        """Where a table is stored."""
        return self.path / "tables" / f"{name}.parquet"

    def table(self, name: str) -> pa.Table | None:
        """Read ``tables/NAME.parquet``, or None if there is none.

        Raises:
            InputError: it is damaged, or becomes far larger than it is when it is read.
        """
        file = self.table_file(name)
        try:
            open_plain(file).close()
            return read_table(file)
        except FileNotFoundError:
            return None
        except InputError:
            raise
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise InputError(f"{file} is damaged ({error}); remove it, and the run is shown without it") from error

    def write_result(self, result: dict[str, Any]) -> None:
        """Store ``result.json``, the summary of a finished run."""
        write_text(self.path / "result.json", json.dumps(redacted(result), indent=2, allow_nan=False))

    @property
    def result(self) -> dict[str, Any]:
        """The summary of a finished run; empty before.

        Raises:
            InputError: it cannot be read.
        """
        file = self.path / "result.json"
        try:
            result = json.loads(read_plain(file))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file} is damaged ({error}); start the study again") from error
        if not isinstance(result, dict):
            raise InputError(f"{file} holds no summary of a run; start the study again")
        return result


def _shareable(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the password of the tracking server, which the environment names where it is needed."""
    tracking = config.get("tracking") or {}
    if not tracking.get("uri"):
        return config
    return {**config, "tracking": {**tracking, "uri": redact_address(tracking["uri"])}}


def require_writable(out: Path) -> None:
    """Raise InputError unless ``out`` is, or can become, a folder one may write to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"the output folder {out} cannot be written ({error.strerror}); choose another with --out"
        ) from None
