"""What a study works with: its run directory, its data and model, a runner, and stages that are done once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from distlandscape.config import RunConfig
from distlandscape.data import BlockStore, load_source
from distlandscape.models import build_model, load_weights
from distlandscape.objective import Objective
from distlandscape.record.run import Run, Stage
from distlandscape.runtime.local import default_device
from distlandscape.runtime.runner import Runner
from distlandscape.studies.journal import RunJournal
from distlandscape.studies.progress import Progress
from distlandscape.studies.training_journal import TrainingJournal
from distlandscape.training import checkpoint_steps, train

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def load_data(
    config: RunConfig, split: str, samples: int | None, into: Path | None, progress: Callable[[str], None]
) -> BlockStore:
    """The samples of one split, cut into blocks; see ``load_source``."""
    d = config.data
    return load_source(
        d.source,
        d.path,
        split=split,
        samples=samples,
        classes=d.classes,
        scaling=d.scaling,
        target=d.target,
        options=d.options,
        seed=d.seed,
        blocks=d.blocks,
        into=into,
        progress=progress,
    )


def build_objective(config: RunConfig, data: BlockStore | None = None, other: BlockStore | None = None) -> Objective:
    """Data, model and initial weights of a configuration; everything a user can get wrong is wrong here.

    Raises:
        InputError: see ``load_source``, ``build_model``, ``load_weights`` and ``Objective``.
    """
    if data is None:
        data = load_data(config, config.data.split, config.data.samples, None, lambda text: None)
    shape = data.block(0)[0].shape[1:]
    outputs = max(_outputs(config, store) for store in (data, other) if store is not None)  # a split may lack classes
    model = build_model(config.model.name, shape, outputs, config.model.options, config.train.seed)
    o = config.objective
    model.to(DTYPES[o.dtype])  # before the weights come, which would be rounded otherwise
    if config.model.weights is not None:
        load_weights(model, config.model.weights)
    return Objective(
        model,
        data,
        o.loss,
        parameters=o.parameters,
        norm=o.norm,
        dtype=DTYPES[o.dtype],
        weight_decay=o.weight_decay,
        label_smoothing=o.label_smoothing,
        norm_samples=o.norm_samples,
    )


def _outputs(config: RunConfig, data: BlockStore) -> int:
    """Width of the last layer: number of classes, or of target columns."""
    if config.data.classes is not None:
        return len(config.data.classes)
    first = data.block(0)[1]
    if first.ndim == 2:
        return int(first.shape[1])
    if first.dtype.kind == "f":
        return 1
    return max(2, 1 + max(int(data.block(index)[1].max()) for index in range(data.blocks)))


class StudyContext:
    """Handed to a study's ``measure``.

    ``objective`` is over the split that is measured, ``other`` over the other one of the source, where it is needed.
    """

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        objective: Objective,
        other: Objective | None,
        runner: Runner,
        progress: Progress,
        mirror: Callable[[], bool],
    ) -> None:
        self.run, self.config, self.objective, self.other = run, config, objective, other
        self.runner, self.progress, self.mirror = runner, progress, mirror

    def stage(self, name: str, compute: Callable[[RunJournal], Stage]) -> Stage:
        """The committed outcome of a stage, computed now if it is not there yet."""
        done = self.run.stage(name)
        if done is None:
            self.progress.update(name)
            journal = RunJournal(self.run, name, self.progress.step)
            done = compute(journal)
            self.run.commit_stage(name, done)
            journal.close()
        return done

    def at(self, weights: Path) -> Objective:
        """The objective at the weights of a checkpoint."""
        return self.objective.with_weights(load_file(weights))


def trained_checkpoints(
    run: Run, config: RunConfig, objective: Objective, progress: Progress
) -> list[tuple[int, Path]]:
    """(step, weights file) of every checkpoint, trained on the spot where that is not done yet."""
    t = config.train
    assert t.steps is not None and t.checkpoints is not None, "the runner resolves them"
    keep_at = checkpoint_steps(t.steps, t.checkpoints)
    journal = TrainingJournal(run)
    if run.stage("train") is None:
        progress.update(f"training for {t.steps} steps")
        progress.plan(t.steps)

        def report(step: int, loss: float) -> None:
            progress.tick(1)
            progress.update(f"training: step {step} of {t.steps}, loss {loss:.4f}")

        curve = train(
            objective,
            steps=t.steps,
            seed=t.seed,
            learning_rate=t.learning_rate,
            momentum=t.momentum,
            batch_size=t.batch_size,
            keep_at=keep_at,
            keep=journal.keep,
            report=report,
            optimizer=t.optimizer,
            schedule=t.schedule,
            warmup_steps=t.warmup_steps,
            device=default_device(),
            state=journal,
        )
        run.commit_stage("train", Stage({"curve": curve.numpy()}, {"steps": keep_at}))
        journal.close()
    return [(step, run.path / journal.weights(step)) for step in keep_at]
