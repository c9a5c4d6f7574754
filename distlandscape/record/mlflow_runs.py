"""The runs a tracking server holds, as plain rows."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from typing import Any

from distlandscape.errors import InputError
from distlandscape.record.mlflow_client import connect, quiet, resolve, sqlite_file
from distlandscape.record.mlflow_database import HalfMade
from distlandscape.redaction import redact, redact_address, remember

PAGE = 1000  # runs a request asks for
COUNTED = 10_000  # runs beyond those shown that are counted


def list_runs(uri: str, experiment: str, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Parent runs of an experiment, newest first: study, model, data, lambda_max, status, job and run id.

    Returns:
        A row for each of the ``limit`` newest, and how many more there are, ``COUNTED`` standing for that many or more.

    Raises:
        InputError: limit below 1, no database file there, nothing answers, or no such experiment.
    """
    if limit < 1:
        raise InputError(f"--limit {limit} shows no run; give at least 1")
    limit = min(limit, sys.maxsize - COUNTED)
    uri = resolve(uri)
    remember(uri)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise InputError(f"there are no runs yet: {file} does not exist; name the folder of your runs with --out")
    shown = redact_address(uri)
    try:
        with quiet():
            client = connect(uri)
            found = client.get_experiment_by_name(experiment)
            runs = [] if found is None else list(itertools.islice(_pages(client, found), limit + COUNTED))
    except HalfMade as error:
        raise InputError(str(error)) from None
    except Exception as error:  # whatever a server, a proxy or a driver comes up with
        reason = redact(" ".join(f"{type(error).__name__}: {error}".split()))[:160]
        raise InputError(f"the tracking server {shown} does not answer ({reason}); correct --uri") from None
    if found is None:
        raise InputError(f"{shown} has no experiment {experiment!r}; name yours with --experiment")
    return [_row(run) for run in runs[:limit]], len(runs[limit:])


def _pages(client: Any, experiment: Any) -> Iterator[Any]:
    """All parent runs, however many a server gives at once."""
    token = None
    while True:
        page = client.search_runs(
            [experiment.experiment_id], "tags.`distlandscape.run_id` LIKE '%'", max_results=PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


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
