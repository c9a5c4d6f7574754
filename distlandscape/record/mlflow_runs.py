"""The runs a tracking server holds, as plain rows."""

from __future__ import annotations

import time
from typing import Any

from distlandscape.errors import InputError
from distlandscape.record.mlflow_client import connect, quiet, resolve, sqlite_file
from distlandscape.record.mlflow_values import redact


def list_runs(uri: str, experiment: str, limit: int) -> list[dict[str, Any]]:
    """Parent runs of an experiment, newest first: study, model, data, lambda_max, status, job and run id.

    Raises:
        InputError: limit below 1, no database file there, nothing answers, or no such experiment.
    """
    if limit < 1:
        raise InputError(f"--limit {limit} shows no run; give at least 1")
    uri = resolve(uri)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise InputError(f"there are no runs yet: {file} does not exist; name the folder of your runs with --out")
    try:
        with quiet():
            client = connect(uri)
            found = client.get_experiment_by_name(experiment)
            ids = [] if found is None else [found.experiment_id]
            runs = client.search_runs(ids, "tags.`distlandscape.run_id` LIKE '%'", max_results=limit) if ids else []
    except Exception as error:  # whatever a server, a proxy or a driver comes up with
        reason = redact(" ".join(f"{type(error).__name__}: {error}".split()))[:160]
        raise InputError(f"the tracking server {redact(uri)} does not answer ({reason}); correct --uri") from None
    if found is None:
        raise InputError(f"{redact(uri)} has no experiment {experiment!r}; name yours with --experiment")
    return [_row(run) for run in runs]


def _row(run: Any) -> dict[str, Any]:
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    return {
        "run_id": run.info.run_id,
        "job_id": tags.get("distlandscape.job_id"),
        "name": tags.get("mlflow.runName"),
        "study": tags.get("distlandscape.study"),
        "model": params.get("model.name"),
        "data": params.get("data.source"),
        "lambda_max": metrics.get("lambda_1"),
        "status": tags.get("distlandscape.status"),
        "started": time.strftime("%Y-%m-%d %H:%M", time.localtime(run.info.start_time / 1000)),
        "run_dir": tags.get("distlandscape.run_dir"),
    }
