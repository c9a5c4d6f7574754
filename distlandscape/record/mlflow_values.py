"""What of a run MLflow gets to see: plain values read from the run directory, without MLflow."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from distlandscape.files import sha256
from distlandscape.record.run import Run
from distlandscape.redaction import redact, redacted

# An older server takes no more than these; newer ones would cut by themselves.
MAX_PARAM = 6000
MAX_TAG = 5000
MAX_KEY = 250

STATUS = {
    "running": "RUNNING",
    "done": "FINISHED",
    "unconverged": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
FILES = ("config.yaml", "result.json", "log.jsonl", "report.html", "tables/*.parquet", "figures/*.png")


@dataclass(frozen=True)
class Point:
    """One value of one metric. The time comes from the log, so that the server knows a repeated point again."""

    key: str
    value: float
    step: int
    time_ms: int

    @property
    def name(self) -> str:
        """What tells a logged point from a new one."""
        return f"{self.key}@{self.step}={self.value!r}"


@dataclass(frozen=True)
class Checkpoint:
    """The scalars of one checkpoint of training, or of one dimension of a sweep: what a child run holds."""

    step: int
    points: list[Point]
    name: str


@dataclass(frozen=True)
class Snapshot:
    """Everything the run directory holds now that belongs into MLflow.

    Attributes:
        params: flattened resolved configuration.
        tags: identity, digests, versions, status.
        points: metrics of the parent run.
        checkpoints: metrics of the child runs, by checkpoint.
        files: sha256 of every file to upload, by name relative to the run directory.
        status: MLflow's word for the run's status.
        started_ms: when the run started first.
        ended_ms: when it ended last (the start while it has not).
    """

    params: dict[str, str]
    tags: dict[str, str]
    points: list[Point]
    checkpoints: dict[int, Checkpoint]
    files: dict[str, str]
    status: str
    started_ms: int
    ended_ms: int


def collect(run: Run) -> Snapshot:
    """Read a run directory as it is now."""
    started_ms, ended_ms = _times(run)
    checkpoints = _checkpoints(run, started_ms) | _dimensions(run, started_ms)
    points = [point for checkpoint in checkpoints.values() for point in checkpoint.points]
    points += _training_curve(run, started_ms)
    last_step = max((checkpoint.step for checkpoint in checkpoints.values()), default=0)
    points += [Point(key, value, last_step, ended_ms) for key, value in _result_scalars(run.result)]
    return Snapshot(
        params={_key(key): value[:MAX_PARAM] for key, value in _flatten(redacted(run.config))},
        tags={key[:MAX_KEY]: redact(value)[:MAX_TAG] for key, value in _tags(run)},
        points=points,
        checkpoints=checkpoints,
        files={
            path.relative_to(run.path).as_posix(): sha256(path)
            for pattern in FILES
            for path in sorted(run.path.glob(pattern))
        },
        status=STATUS[run.status],
        started_ms=started_ms,
        ended_ms=ended_ms,
    )


def _times(run: Run) -> tuple[int, int]:
    started = [event["time"] for event in run.log.events("started")]
    first = started[0] if started else (run.path / "run.json").stat().st_mtime
    ended = [event["time"] for event in run.log.events("ended")]
    return int(first * 1000), int((ended[-1] if ended else first) * 1000)


def _checkpoints(run: Run, time_ms: int) -> dict[int, Checkpoint]:
    found: dict[int, Checkpoint] = {}
    for index, step, key, value in _table_scalars(run):
        number = _finite(value)
        if number is not None:
            checkpoint = found.setdefault(index, Checkpoint(step, [], f"step-{step:06d}"))
            checkpoint.points.append(Point(key, number, step, time_ms))
    return found


def _dimensions(run: Run, time_ms: int) -> dict[int, Checkpoint]:
    """One child a dimension of a sweep over planes; the dimension stands where the training step stands elsewhere."""
    found: dict[int, Checkpoint] = {}
    for row in _rows(run, "dimensions"):
        series, dim = f"{row['kind']}-{row['burn_in']}", int(row["dimension"])
        # Dimensions come in between later, so their place is not their index.
        index = int.from_bytes(hashlib.sha256(f"{series}-{dim}".encode()).digest()[:6])
        points = [
            Point(_key(f"{series}/{name}"), number, dim, time_ms)
            for name, value in row.items()
            if name not in ("kind", "burn_in", "dimension") and (number := _finite(value)) is not None
        ]
        found[index] = Checkpoint(dim, points, f"{series}-d-{dim:06d}")
    return found


def _training_curve(run: Run, time_ms: int) -> Iterator[Point]:
    """Loss of the mini-batches and learning rate, at the steps the table holds."""
    for row in _rows(run, "training"):
        for name, key in (("loss", "batch_loss"), ("learning_rate", "learning_rate")):
            number = _finite(row[name])
            if number is not None:
                yield Point(key, number, int(row["step"]), time_ms)


def _table_scalars(run: Run) -> Iterator[tuple[int, int, str, Any]]:
    """Checkpoint, training step, metric key and value of everything the tables say about checkpoints."""
    for row in _rows(run, "checkpoints"):
        index, step = int(row.pop("checkpoint")), int(row.pop("step"))
        for name, value in row.items():
            yield index, step, _key(name), value
    for row in _rows(run, "confinement"):
        index, step, label = int(row["checkpoint"]), int(row["step"]), _key(str(row["label"]).replace("/", "_"))
        yield index, step, f"confinement/{label}", row["fraction"]
        yield index, step, f"confinement_null_share/{label}", row["null_share"]


def _rows(run: Run, name: str) -> list[dict[str, Any]]:
    table = run.table(name)
    rows: list[dict[str, Any]] = [] if table is None else table.to_pylist()
    return rows


def _result_scalars(result: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The few numbers of result.json worth comparing between runs."""
    values: dict[str, Any] = {name: result.get(name) for name in ("passes", "wall_s")}
    for name in ("trace", "frobenius"):
        estimate = result.get(name) or {}
        values[name], values[f"{name}_stderr"] = estimate.get("value"), estimate.get("stderr")
    values |= {_key(name): value for name, value in (result.get("metrics") or {}).items()}
    values["lambda_1"] = max(_numbers(result, "eigenvalues"), default=None)
    values["lambda_min"] = min(_numbers(result, "lowest"), default=None)
    values["residual_max"] = max(_numbers(result, "residuals"), default=None)
    for key, value in values.items():
        number = _finite(value)
        if number is not None:
            yield key, number


def _numbers(result: dict[str, Any], name: str) -> list[float]:
    return [number for value in result.get(name) or [] if (number := _finite(value)) is not None]


def _finite(value: Any) -> float | None:
    """The number, or None for what MLflow cannot show: text, gaps, nan, and inf (it would become 1.8e308)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _tags(run: Run) -> Iterator[tuple[str, str]]:
    identity = run.identity
    yield "distlandscape.run_id", run.run_id
    yield "distlandscape.study", run.study
    yield "distlandscape.run_dir", str(run.path)
    yield "distlandscape.status", run.status
    detail = None if run.status == "running" else run.log.events("ended")[-1].get("detail")
    yield "distlandscape.status_detail", str(detail or "")
    jobs = [event["job"] for event in run.log.events("started") if event.get("job")]
    if jobs:
        yield "distlandscape.job_id", str(jobs[-1])
    commit = identity.get("git_commit")
    if commit:
        yield "distlandscape.git_commit", str(commit)
        yield "mlflow.source.git.commit", str(commit)  # the one its pages show
    for kind in ("digest", "version"):
        for name, value in (identity.get(f"{kind}s") or {}).items():
            if isinstance(value, str):
                yield _key(f"distlandscape.{kind}.{name}"), value


def _flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, default=str)


def _key(name: str) -> str:
    """MLflow's keys take letters, digits and ``_ - . : /`` and spaces, and must not read as another path."""
    clean = re.sub(r"[^\w.\-: /]", "_", name)
    return "/".join(re.sub(r"^\.+$|^$", "_", part) for part in clean.split("/"))[:MAX_KEY]
