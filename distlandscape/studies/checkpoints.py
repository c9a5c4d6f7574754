"""Training on the spot: what a study does before it measures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distlandscape.config import RunConfig
from distlandscape.errors import InputError
from distlandscape.files import require_unchanged
from distlandscape.objective import Objective
from distlandscape.objective.switches import full_precision
from distlandscape.record.run import Run, Stage
from distlandscape.runtime.device import default_device
from distlandscape.studies.progress import Progress
from distlandscape.studies.training_record import CURVE, TrainingRecord, verified
from distlandscape.training import checkpoint_steps, curve_steps, learning_rate_at, train


def check_training(config: RunConfig) -> None:
    """Raise InputError for a training that cannot be meant."""
    t = config.train
    assert t.steps is not None, "the runner resolves train.steps"
    if 0 < t.steps < t.warmup_steps:
        raise InputError(f"train.warmup_steps={t.warmup_steps} is more than train.steps={t.steps}; lower it")


def steps_trained(run: Run) -> int:
    """Steps that the newest state of the training holds; 0 before the first."""
    return max((int(line["step"]) for line in run.log.events("training")), default=0)


def trained_checkpoints(
    run: Run, config: RunConfig, objective: Objective, progress: Progress, publish: Callable[[], object]
) -> list[tuple[int, Path]]:
    """(step, weights file) of every checkpoint; trains where that is not done yet, from the newest state there is.

    Raises:
        InputError: training diverged, or a file of the run is missing or was changed.
    """
    t = config.train
    steps, count = t.steps, t.checkpoints
    assert steps is not None and count is not None, "the runner resolves them"

    def rate(step: int) -> float:
        return learning_rate_at(step - 1, steps, t.learning_rate, t.schedule, t.warmup_steps)

    def report(step: int, loss: float) -> None:
        record.report(step, loss)
        progress.tick(1)
        progress.update(f"training: step {step} of {steps}, loss {loss:.4f}")

    keep_at = checkpoint_steps(steps, count)
    record = TrainingRecord(run, keep_at, curve_steps(steps), rate, publish)
    done = run.stage("train")
    if done is None:
        progress.update(f"training for {steps} steps")
        progress.plan(steps - steps_trained(run))
        device = default_device()
        curve = None
        try:
            with full_precision(device):
                train(
                    objective,
                    steps=steps,
                    seed=t.seed,
                    learning_rate=t.learning_rate,
                    momentum=t.momentum,
                    batch_size=t.batch_size,
                    keep_at=keep_at,
                    keep=record.keep,
                    report=report,
                    optimizer=t.optimizer,
                    schedule=t.schedule,
                    warmup_steps=t.warmup_steps,
                    device=device,
                    journal=record,
                )
        finally:
            curve = record.write_curve()  # a training that diverged shows how
        run.commit_stage("train", Stage({}, {"steps": keep_at, "curve": curve}))
    elif (known := done.values.get("curve")) is not None:
        require_unchanged(run.table_file(CURVE), known)  # the log holds no more than a part of it
    record.close()
    return [(step, file) for step, file, _ in verified(run, keep_at)]
