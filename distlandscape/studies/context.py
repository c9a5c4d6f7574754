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
from distlandscape.runtime.runner import Runner
from distlandscape.studies.journal import RunJournal
from distlandscape.studies.progress import Progress

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def build_objective(config: RunConfig, data: BlockStore | None = None) -> Objective:
    """Data, model and initial weights of a configuration; everything a user can get wrong is wrong here.

    Raises:
        InputError: see ``load_source``, ``build_model``, ``load_weights`` and ``Objective``.
    """
    if data is None:
        d = config.data
        data = load_source(d.source, d.path, samples=d.samples, classes=d.classes, seed=d.seed, blocks=d.blocks)
    shape = data.block(0)[0].shape[1:]
    outputs = _outputs(config, data)
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
    targets = [data.block(index)[1] for index in range(data.blocks)]
    if targets[0].ndim == 2:
        return int(targets[0].shape[1])
    if targets[0].dtype.kind == "f":
        return 1
    return max(2, 1 + max(int(y.max()) for y in targets))


class StudyContext:
    """Handed to a study's ``measure``.

    Attributes:
        test_objective: the same model and loss on held-out samples, where there are any.
    """

    test_objective: Objective | None = None

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        objective: Objective,
        runner: Runner,
        progress: Progress,
        mirror: Callable[[], bool],
    ) -> None:
        self.run, self.config, self.objective = run, config, objective
        self.runner, self.progress, self.mirror = runner, progress, mirror

    def stage(self, name: str, compute: Callable[[RunJournal], Stage]) -> Stage:
        """The committed outcome of a stage, computed now if it is not there yet."""
        done = self.run.stage(name)
        if done is None:
            self.progress.update(name)
            journal = RunJournal(self.run, name, self.progress.update)
            done = compute(journal)
            self.run.commit_stage(name, done)
            journal.close()
        return done

    def at(self, weights: Path) -> Objective:
        """The objective at the weights of a checkpoint."""
        return self.objective.with_weights(load_file(weights))
