"""The train study: keeps weights along a training, and says how good each of them is on all samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors.torch import load_file

from distlandscape.config import RunConfig
from distlandscape.errors import InputError, TrainingError
from distlandscape.objective import Objective
from distlandscape.record.run import Stage
from distlandscape.runtime import loss_accuracy_gradient
from distlandscape.studies.context import StudyContext
from distlandscape.studies.provenance import described_model
from distlandscape.studies.training_record import verified


def check(config: RunConfig, objective: Objective) -> None:
    """Raise InputError where there is nothing to train."""
    if not config.train.steps:
        raise InputError("train.steps is 0, which leaves nothing to train; set train.steps to 1 or more")
    if config.data.split == "test":
        raise InputError("data.split=test is for measuring: training uses the train split and tests on the other")


def planned_passes(config: RunConfig, checkpoints: int) -> float:
    """One pass a checkpoint."""
    return checkpoints


def measure(context: StudyContext, checkpoints: list[tuple[int, Path]]) -> dict[str, Any]:
    """Evaluate every checkpoint, on held-out samples too where there are any; returns what becomes result.json."""
    rows: list[dict[str, Any]] = []
    for index, (step, file, digest) in enumerate(verified(context.run, [step for step, _ in checkpoints])):
        row = {"checkpoint": index, "step": step, "file": f"weights/{file.name}", "sha256": digest}
        row |= _evaluation(context, f"evaluation-{index:03d}", context.objective, step, file)
        if context.test_objective is not None:
            held_out = _evaluation(context, f"test-{index:03d}", context.test_objective, step, file)
            row |= {"test_loss": held_out["loss"], "test_accuracy": held_out["accuracy"]}
        rows.append(row)
        context.run.write_table("checkpoints", pa.Table.from_pylist(rows))
    objective, (_, weights) = context.objective, checkpoints[-1]
    return {
        "weights": str(weights),
        "weights_sha256": context.at(weights).weights_sha256,
        "checkpoints": [{"step": step, "path": str(file)} for step, file in checkpoints],
        "steps": context.config.train.steps,
        "status": "done",
        "passes": len(rows) * (1 if context.test_objective is None else 2),
        "parameters": objective.parameters,
        "samples": objective.samples,
        "classes": objective.outputs if objective.classification else None,
        "loss": rows[-1]["loss"],
        "accuracy": rows[-1]["accuracy"],
        "gradient_norm": rows[-1]["gradient_norm"],
        "test_loss": rows[-1].get("test_loss"),
        "test_accuracy": rows[-1].get("test_accuracy"),
        "data": objective.data.description,
        "model": described_model(context.config),
    }


def _evaluation(context: StudyContext, stage: str, objective: Objective, step: int, weights: Path) -> dict[str, Any]:
    """Loss, accuracy and gradient norm of one checkpoint on the samples of ``objective``; one pass."""

    def compute() -> Stage:
        there = objective.with_weights(load_file(weights))
        loss, accuracy, gradient_P = loss_accuracy_gradient(there, context.runner)
        norm = float(gradient_P.double().norm())
        if not (math.isfinite(loss) and math.isfinite(norm)):  # of some sample that no mini-batch met since
            raise TrainingError(
                f"training diverged: over all samples the loss at step {step} is not finite; lower train.learning_rate"
                f" (now {context.config.train.learning_rate}) and start again"
            )
        return Stage({}, {"loss": loss, "accuracy": None if accuracy != accuracy else accuracy, "gradient_norm": norm})

    values = context.stage(stage, lambda _: compute()).values
    context.progress.tick(1)
    return values
