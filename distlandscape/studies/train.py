"""The train study: weights along training, evaluated over the whole data and, where there is one, the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from distlandscape.config import RunConfig
from distlandscape.errors import InputError
from distlandscape.files import sha256
from distlandscape.objective import Objective
from distlandscape.record.run import Stage
from distlandscape.runtime import loss_accuracy_gradient
from distlandscape.studies.context import StudyContext
from distlandscape.studies.words import described


def check(config: RunConfig, objective: Objective) -> None:
    """Raise InputError for what cannot be trained."""
    if not config.train.steps:
        raise InputError("train.steps=0 leaves nothing to train; raise it")
    if config.data.split == "test":
        raise InputError("data.split=test is for measuring; training uses the train split and tests on the other")
    if config.train.warmup_steps > config.train.steps:
        raise InputError(
            f"train.warmup_steps={config.train.warmup_steps} is more than the {config.train.steps} steps; lower it"
        )


def planned_passes(config: RunConfig, checkpoints: int) -> float:
    """A count of passes, for the expected end only."""
    return 2 * checkpoints


def measure(context: StudyContext, checkpoints: list[tuple[int, Path]]) -> dict[str, Any]:
    """Evaluate every checkpoint; returns the summary that becomes result.json."""
    trained = context.run.stage("train")
    assert trained is not None, "training comes before"
    steps, losses, rates = trained.arrays["curve"].T
    context.run.write_table("training", pa.table({"step": steps.astype(int), "loss": losses, "learning_rate": rates}))
    rows: list[dict[str, Any]] = []
    for index, (step, weights) in enumerate(checkpoints):
        values = context.stage(f"evaluate-{index:03d}", lambda _, weights=weights: _evaluate(context, weights)).values  # type: ignore[misc]
        context.progress.tick(2)
        row = {"checkpoint": index, "step": step, "file": weights.name, "sha256": sha256(weights), **values}
        rows.append(row)
        context.run.write_table("checkpoints", pa.Table.from_pylist(rows))
        context.mirror()
    last = rows[-1]
    return {
        "weights": str(checkpoints[-1][1]),
        "weights_sha256": context.at(checkpoints[-1][1]).weights_sha256,
        "checkpoints": [{"step": step, "path": str(weights)} for step, weights in checkpoints],
        "status": "trained",
        "steps": context.config.train.steps,
        **{name: last[name] for name in ("loss", "accuracy", "test_loss", "test_accuracy")},
        "passes": sum(1 + (row["test_loss"] is not None) for row in rows),
        "parameters": context.objective.parameters,
        "samples": context.objective.samples,
        "test_samples": context.other.samples if context.other is not None else None,
        "classes": context.objective.outputs if context.objective.classification else None,
        "data": context.objective.data.description,
        "model": described(context.config),
    }


def _evaluate(context: StudyContext, weights: Path) -> Stage:
    objective = context.at(weights)
    loss, accuracy, gradient = loss_accuracy_gradient(objective, context.runner)
    values: dict[str, Any] = {
        "loss": loss,
        "accuracy": _known(accuracy),
        "gradient_norm": float(gradient.double().norm()),
        "test_loss": None,
        "test_accuracy": None,
    }
    if context.other is not None:
        test_loss, test_accuracy, _ = loss_accuracy_gradient(objective.with_data(context.other.data), context.runner)
        values |= {"test_loss": test_loss, "test_accuracy": _known(test_accuracy)}
    return Stage({}, values)


def _known(value: float) -> float | None:
    return None if value != value else value
