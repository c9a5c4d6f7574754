"""MLflow's mirror of a run: an idempotent push of what the run directory holds; an outage never stops a run."""

from __future__ import annotations

import json
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from distlandscape import stopping
from distlandscape.files import write_text
from distlandscape.output import say
from distlandscape.record.mlflow_client import (
    PasswordMissing,
    connect,
    import_mlflow,
    is_database,
    quiet,
    resolve,
    sqlite_file,
    tracking_uri,
)
from distlandscape.record.mlflow_database import HalfMade
from distlandscape.record.mlflow_values import Point, Snapshot, collect
from distlandscape.record.run import Run
from distlandscape.redaction import has_secret, openable, redact, redact_address, redacted, remember

# What one log_batch takes: 1000 entities in all, 100 of them parameters or tags.
MAX_METRICS = 800
MAX_PARAMS = 100


class ExperimentDeleted(ValueError):
    """The experiment is there, but deleted: MLflow keeps it until somebody restores it, and takes no runs for it."""

    def __init__(self, experiment_id: str) -> None:
        super().__init__(experiment_id)
        self.experiment_id = experiment_id


class MlflowMirror:
    """One run in MLflow: a parent run, and a child run for each checkpoint, or each dimension of a sweep.

    ``mlflow.json`` in the run directory remembers what was sent. Where it is lost the runs are found again by their
    tags, and points sent twice are the same point to the server.

    Args:
        run: the run directory to mirror.
        uri: tracking server; None is that of ``MLFLOW_TRACKING_URI``, else a sqlite file beside the run directory.
        experiment: name of MLflow's experiment, made when missing.
    """

    def __init__(self, run: Run, uri: str | None = None, experiment: str = "distlandscape") -> None:
        self.run = run
        self.uri = resolve(tracking_uri(uri, run.path.parent))
        self.experiment = experiment
        remember(self.uri)
        self._client: Any = None
        self._state = self._load()
        self._failed = self._retried = False
        self._lock = threading.Lock()  # images come from a thread of their own

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the parent run, once known."""
        run_id: str | None = self._state.get("run_id")
        return run_id

    @property
    def url_hint(self) -> str:
        """The command that opens MLflow's pages, or the server's address."""
        if not is_database(self.uri):
            return openable(self.uri)
        return f"mlflow ui --backend-store-uri {self._named()} --host 127.0.0.1 --port 5000"

    def push(self, final: bool = False) -> bool:
        """Bring MLflow up to date with what the run directory holds now; True when it is.

        A tracking server that is away costs one warning, no exception and about ten seconds; from then on this
        does nothing, but for one more attempt with ``final``.

        Raises:
            ImportError: MLflow is not installed.
            Interrupted: the run was asked to stop.
        """
        with self._lock:
            if self._failed and (self._retried or not final):
                return False
            self._retried = self._failed
            import_mlflow()
            snapshot = collect(self.run)
            return self._attempt(lambda: self._send(snapshot))

    def push_images(self, images: dict[str, bytes]) -> bool:
        """Send PNG images by name, of a run that goes on, to where its figures will be; True when they were sent.

        Does nothing before the first ``push``, and where that failed.
        """
        with self._lock:
            return not self._failed and self.run_id is not None and self._attempt(lambda: self._send_images(images))

    def _attempt(self, send: Callable[[], None]) -> bool:
        try:
            with quiet():
                send()
        except Exception as error:  # whatever a server, a proxy or a driver comes up with must not stop a run
            self._client = None
            if not self._failed:
                self._warn(error)
            self._failed = True
            return False
        self._failed = self._retried = False
        return True

    def _send(self, snapshot: Snapshot) -> None:
        if self._client is None:
            self._client = connect(self.uri)
        stopping.look()
        experiment_id = self._experiment_id()
        self._state = self._load()
        if self._state.get("experiment_id") != experiment_id:
            self._state = {"uri": redact_address(self.uri), "experiment_id": experiment_id}
        try:
            parent = self._parent(snapshot)
            self._send_parent(parent, snapshot)
            for index in sorted(snapshot.checkpoints):
                stopping.look()
                self._send_child(index, snapshot)
            self._send_files(snapshot)
            self._set_status(parent, snapshot)
        finally:
            self._save()

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self.experiment, artifact_location=self._artifact_location()))
            except import_mlflow().MlflowException:  # another run made it meanwhile, or the server says no
                found = self._client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise ExperimentDeleted(str(found.experiment_id))
        return str(found.experiment_id)

    def _artifact_location(self) -> str | None:
        """A server knows its own; beside a database they would land under the working directory."""
        if not is_database(self.uri):
            return None
        file = sqlite_file(self.uri)
        folder = self.run.path.parent if file is None else file.parent
        artifacts = folder / "mlartifacts"
        artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
        return artifacts.as_uri()

    def _parent(self, snapshot: Snapshot) -> Any:
        """The parent run as the server has it: the remembered one, the one with our tag, or a new one."""
        known = self._remembered()
        if known is not None:
            return known
        self._state = {key: self._state[key] for key in ("uri", "experiment_id")}
        tag = f"tags.`distlandscape.run_id` = '{self.run.run_id}'"
        found = self._client.search_runs([self._state["experiment_id"]], filter_string=tag, max_results=1)
        parent = found[0] if found else self._create(self.run.path.name, snapshot.started_ms, snapshot.tags)
        self._state["run_id"] = parent.info.run_id
        self._state["children"] = self._children() if found else {}
        self._save()
        return parent

    def _remembered(self) -> Any:
        """The run of mlflow.json, or None when there is none or the server has it no more."""
        if self.run_id is None:
            return None
        try:
            parent = self._client.get_run(self.run_id)
        except import_mlflow().MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return parent if parent.info.lifecycle_stage == "active" else None

    def _children(self) -> dict[str, str]:
        tag = f"tags.`mlflow.parentRunId` = '{self.run_id}'"
        found: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_runs([self._state["experiment_id"]], filter_string=tag, page_token=token)
            found |= {child.data.tags["distlandscape.checkpoint"]: child.info.run_id for child in page}
            token = page.token
            if not token:
                return found

    def _create(self, name: str, start_ms: int, tags: dict[str, str]) -> Any:
        return self._client.create_run(self._state["experiment_id"], start_time=start_ms, tags=tags, run_name=name)

    def _send_parent(self, parent: Any, snapshot: Snapshot) -> None:
        entities = import_mlflow().entities
        known = parent.data.params
        params = [entities.Param(key, value) for key, value in snapshot.params.items() if key not in known]
        for part in _parts(params, MAX_PARAMS):
            self._client.log_batch(self.run_id, params=part)
        tags = parent.data.tags
        changed = [entities.RunTag(key, value) for key, value in snapshot.tags.items() if tags.get(key) != value]
        for part in _parts(changed, MAX_PARAMS):
            self._client.log_batch(self.run_id, tags=part)
        self._send_points(str(self.run_id), snapshot.points)

    def _send_child(self, index: int, snapshot: Snapshot) -> None:
        checkpoint = snapshot.checkpoints[index]
        children = self._state["children"]
        if str(index) not in children:
            tags = {"mlflow.parentRunId": str(self.run_id), "distlandscape.checkpoint": str(index)}
            child = self._create(checkpoint.name, int(time.time() * 1000), tags)
            children[str(index)] = child.info.run_id
            self._save()
        self._send_points(children[str(index)], checkpoint.points, end=True)

    def _send_points(self, run_id: str, points: list[Point], end: bool = False) -> None:
        """Log what was not logged yet; with ``end`` the run is over with it."""
        metric = import_mlflow().entities.Metric
        logged = self._state.setdefault("logged", {}).setdefault(run_id, [])
        done = set(logged)
        new = [point for point in points if point.name not in done]
        if new and end:  # before the points, whose memory says that all of this was done
            self._client.set_terminated(run_id, "FINISHED")
        for part in _parts(new, MAX_METRICS):
            stopping.look()
            self._client.log_batch(run_id, [metric(p.key, p.value, p.time_ms, p.step) for p in part])
            logged.extend(point.name for point in part)

    def _send_files(self, snapshot: Snapshot) -> None:
        sent = self._state.setdefault("files", {})
        for name, digest in snapshot.files.items():
            if sent.get(name) == digest:
                continue
            stopping.look()
            folder = str(PurePosixPath(name).parent)
            if name == "config.yaml" and (clean := redacted(self.run.config)) != self.run.config:
                self._client.log_text(self.run_id, yaml.safe_dump(clean, sort_keys=False), name)
            else:
                self._client.log_artifact(self.run_id, str(self.run.path / name), None if folder == "." else folder)
            sent[name] = digest

    def _send_images(self, images: dict[str, bytes]) -> None:
        if self._client is None:
            self._client = connect(self.uri)
        self._experiment_id()  # artifacts of a deleted one would be lost in silence
        with tempfile.TemporaryDirectory() as folder:
            for name, image in images.items():
                file = Path(folder, f"{name}.png")
                file.write_bytes(image)
                self._client.log_artifact(self.run_id, str(file), "figures")

    def _set_status(self, parent: Any, snapshot: Snapshot) -> None:
        if snapshot.status == "RUNNING" and parent.info.status != "RUNNING":
            self._client.update_run(self.run_id, status="RUNNING")
        elif snapshot.status != "RUNNING" and parent.info.status != snapshot.status:
            self._client.set_terminated(self.run_id, snapshot.status, end_time=snapshot.ended_ms)

    def _load(self) -> dict[str, Any]:
        """What mlflow.json remembers of this server; empty when it is missing, broken, or of another server."""
        try:
            state = json.loads((self.run.path / "mlflow.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) and state.get("uri") == redact_address(self.uri) else {}

    def _save(self) -> None:
        write_text(self.run.path / "mlflow.json", json.dumps(self._state, indent=1))

    def _warn(self, error: Exception) -> None:
        shown = redact_address(self.uri)
        server = f"the tracking server {shown}"
        if isinstance(error, HalfMade):
            say(f"warning: {error}; nothing is lost")
        elif isinstance(error, PasswordMissing):
            say(f"warning: {server} is not asked: {error}; nothing is lost, and `{self._sync()}` then syncs")
        elif isinstance(error, ExperimentDeleted):
            restore = f"MLFLOW_TRACKING_URI={self._named()} mlflow experiments restore -x {error.experiment_id}"
            say(
                f"warning: the experiment {self.experiment!r} of {server} is deleted; nothing is lost:"
                f" `{self._sync(another=True)}` sends the run to another, and `{restore}` brings it back"
            )
        else:
            reason = redact(" ".join(f"{type(error).__name__}: {error}".split()))[:160]
            say(f"warning: {server} is away ({reason}); nothing is lost, and `{self._sync()}` syncs later")

    def _sync(self, another: bool = False) -> str:
        """The command that makes up for an outage; with ``another`` it sends the run to another experiment."""
        tracking = self.run.config.get("tracking") or {}
        command = f"distlandscape mlflow-sync {shlex.quote(str(self.run.path))}"
        if redact_address(self.uri) != redact_address(MlflowMirror(self.run, tracking.get("uri")).uri):
            command += f" --uri {self._named()}"
        if another:
            return f"{command} --experiment NAME"
        if self.experiment != (tracking.get("experiment") or "distlandscape"):
            command += f" --experiment {shlex.quote(self.experiment)}"
        return command

    def _named(self) -> str:
        """The address as a shell takes it; one with a password is to stand in the environment alone."""
        return '"$MLFLOW_TRACKING_URI"' if has_secret(self.uri) else shlex.quote(self.uri)


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
