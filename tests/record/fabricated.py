"""Run directories made by hand, and what an MLflow server holds of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from distlandscape.config import RunConfig
from distlandscape.record.maker import mark
from distlandscape.record.mlflow_client import connect
from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.run import Run

NOWHERE = "http://127.0.0.1:9"


def start_run(out: Path, **tracking: Any) -> Run:
    config = RunConfig.model_validate({"tracking": tracking}).model_dump(mode="json")
    config["model"]["options"] = {"sizes (hidden)": [64, 32]}
    identity = {
        "git_commit": "a1b2c3",
        "digests": {"data": "d" * 64, "weights": None},
        "versions": {"torch": "2.13.0", "python": "3.11"},
    }
    model = config["model"]
    signed = mark(model["name"], model["options"], config["tracking"]["uri"])
    run = Run.create(out, "emergence", config, {**identity, **signed})
    run.log.append("started")
    return run


def add_checkpoints(run: Run, count: int) -> None:
    """Tables of ``count`` checkpoints, at steps 0, 10, 20 …; the gradient norm is nan, which is not shown."""
    index = list(range(count))
    run.write_table(
        "checkpoints",
        pa.table(
            {
                "checkpoint": index,
                "step": [10 * i for i in index],
                "loss": [1.0 / (i + 1) for i in index],
                "accuracy": [0.5 for _ in index],
                "gradient_norm": [float("nan") for _ in index],
                "lambda_max": [float(i) for i in index],
            }
        ),
    )
    rows = [(i, label) for i in index for label in ("C-1", "10")]
    run.write_table(
        "confinement",
        pa.table(
            {
                "checkpoint": [i for i, _ in rows],
                "step": [10 * i for i, _ in rows],
                "k": [9 if label == "C-1" else 10 for _, label in rows],
                "label": [label for _, label in rows],
                "fraction": [0.25 for _ in rows],
                "null_uniform": [0.01 for _ in rows],
                "null_share": [0.02 for _ in rows],
                "null_share_stderr": [0.001 for _ in rows],
            }
        ),
    )


def finish(run: Run) -> None:
    (run.path / "figures").mkdir()
    (run.path / "figures" / "loss.png").write_bytes(b"\x89PNG")
    (run.path / "report.html").write_text("<html></html>")
    run.write_result(
        {
            "trace": {"value": 3.5, "stderr": 0.1},
            "frobenius": {"value": 2.5, "stderr": 0.2},
            "eigenvalues": [2.0, 1.0],
            "lowest": [-0.5, -0.1],
            "residuals": [1e-4, 2e-4],
            "passes": 40,
            "wall_s": 1.5,
        }
    )
    run.log.append("ended", status="done", detail="all pairs converged")


def content(mirror: MlflowMirror) -> dict[str, Any]:
    """All that the server holds of a run and its children, in a comparable form."""
    client = connect(mirror.uri)
    experiment = client.get_experiment_by_name(mirror.experiment)
    runs = client.search_runs([experiment.experiment_id])

    def history(run_id: str, key: str) -> list[tuple[int, float]]:
        return sorted((m.step, m.value) for m in client.get_metric_history(run_id, key))

    def files(run_id: str, folder: str | None = None) -> list[str]:
        entries = client.list_artifacts(run_id, folder)
        below = [name for entry in entries if entry.is_dir for name in files(run_id, entry.path)]
        return sorted([entry.path for entry in entries if not entry.is_dir] + below)

    return {
        run.info.run_name: {
            "status": run.info.status,
            "params": dict(run.data.params),
            "tags": dict(run.data.tags),
            "metrics": {key: history(run.info.run_id, key) for key in run.data.metrics},
            "files": files(run.info.run_id),
        }
        for run in runs
    }
