"""The run directory: configuration, log, stages, tables, figures of one run."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from safetensors.numpy import load_file, save_file

from distlandscape.display import Displayed, Shown
from distlandscape.errors import InputError
from distlandscape.files import PRIVATE, sha256, write_text, write_whole
from distlandscape.record.lease import Lease
from distlandscape.record.log import EventLog
from distlandscape.redaction import redact_address, redacted


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
        """
        run_id = uuid.uuid4().hex
        path = out.absolute() / f"{study}-{time.strftime('%Y%m%d-%H%M%S')}-{run_id[:4]}"
        require_writable(out)
        path.mkdir(parents=True, mode=0o700)
        whole = {"run_id": run_id, "study": study, **identity}
        write_text(path / "config.yaml", yaml.safe_dump(_shareable(config), sort_keys=False))
        write_text(path / "run.json", json.dumps(whole, indent=2))
        (path / "log.jsonl").touch(PRIVATE)
        return cls(path, whole)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run directory for reading.

        Raises:
            InputError: it is not one.
        """
        folder = Path(path)
        try:
            identity = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            complete = isinstance(identity, dict) and {"run_id", "study"} <= set(identity)
        except (OSError, ValueError):
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
                *([("outcome", str(ended[-1]["detail"]))] if ended else []),
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
        self.identity["run_id"] = run_id
        write_text(self.path / "run.json", json.dumps(self.identity, indent=2))

    @property
    def study(self) -> str:
        """Name of the study the run belongs to."""
        return str(self.identity["study"])

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        config: dict[str, Any] = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        return config

    @property
    def status(self) -> str:
        """``running`` or the outcome: ``done``, ``unconverged``, ``failed``, ``interrupted``."""
        ended = self.log.events("ended")
        started = self.log.events("started")
        if not ended or (started and started[-1]["time"] > ended[-1]["time"]):
            return "running"
        return str(ended[-1]["status"])

    @property
    def resumable(self) -> bool:
        """Whether to go on makes sense: the run is not finished, nor did it fail of its own settings."""
        status = self.status
        if status == "failed":
            return not self.log.events("ended")[-1].get("final", False)
        return status in ("running", "interrupted")

    def seconds_before(self) -> float:
        """Wall time of the earlier attempts, from each start to the last event that followed it."""
        total, began, last = 0.0, None, 0.0
        for event in self.log.events():
            if event["event"] == "started":
                total += last - began if began is not None else 0.0
                began = event["time"]
            last = event["time"]
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
        if not file.exists() or sha256(file) != found[-1]["sha256"]:
            raise InputError(f"{file} is missing or was changed after the run wrote it; start the study again")
        return Stage(load_file(file), found[-1]["values"])

    def stages(self) -> list[str]:
        """Names of the committed stages, oldest first."""
        return [str(event["name"]) for event in self.log.events("stage")]

    def write_progress(self, now: dict[str, Any]) -> None:
        """Say where the run is, for who looks on; it is no part of the record, so nothing waits for the disk."""
        file = self.path / "progress.json"
        with contextlib.suppress(OSError):
            part = file.with_name(".progress.json.part")
            part.touch(PRIVATE)
            part.write_text(json.dumps({"time": time.time(), **redacted(now)}), encoding="utf-8")
            part.replace(file)

    @property
    def progress(self) -> dict[str, Any]:
        """What ``write_progress`` said last; empty where it never did."""
        try:
            now: dict[str, Any] = json.loads((self.path / "progress.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return now

    def write_table(self, name: str, table: pa.Table) -> None:
        """Store ``tables/NAME.parquet``."""
        write_whole(self.path / "tables" / f"{name}.parquet", lambda path: pq.write_table(table, path))

    def table(self, name: str) -> pa.Table | None:
        """Read ``tables/NAME.parquet``, or None if there is none."""
        file = self.path / "tables" / f"{name}.parquet"
        return pq.read_table(file) if file.exists() else None

    def write_result(self, result: dict[str, Any]) -> None:
        """Store ``result.json``, the summary of a finished run."""
        write_text(self.path / "result.json", json.dumps(redacted(result), indent=2, allow_nan=False))

    @property
    def result(self) -> dict[str, Any]:
        """The summary of a finished run; empty before."""
        file = self.path / "result.json"
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
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
