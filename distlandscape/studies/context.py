"""What a study works with: its run directory, its data and model, a runner, and stages that are done once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from distlandscape.config import RunConfig
from distlandscape.data import BlockStore, load_source
from distlandscape.errors import GenerationLost
from distlandscape.models import build_model, load_weights
from distlandscape.models.temperature import temper
from distlandscape.objective import Objective
from distlandscape.objective.private_copy import convert, require_usable
from distlandscape.record.run import Run, Stage
from distlandscape.runtime.runner import Runner
from distlandscape.studies.journal import Renewed, RunJournal
from distlandscape.studies.progress import Progress

ATTEMPTS = 4  # losses of workers that held vectors, one after another with no step committed in between
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def load_data(
    config: RunConfig, split: str, samples: int | None, into: Path | None, progress: Callable[[str], None]
) -> BlockStore:
    """The samples of one split, cut into blocks; see ``load_source``."""
    d = config.data
    return load_source(
        d.source,
        d.path,
        samples=samples,
        classes=d.classes,
        seed=d.seed,
        blocks=d.blocks,
        split=split,
        scaling=d.scaling,
        target=d.target,
        options=d.options,
        random_labels=d.random_labels,
        into=into,
        progress=progress,
    )


def build_objective(
    config: RunConfig, data: BlockStore | None = None, other: BlockStore | None = None, temperature: float = 1.0
) -> Objective:
    """Data, model and initial weights of a configuration; everything a user can get wrong is wrong here.

    With a ``temperature`` T the model gives z/T.

    Raises:
        InputError: see ``load_source``, ``build_model``, ``load_weights`` and ``Objective``.
    """
    if data is None:
        data = load_data(config, config.data.split, config.data.samples, None, lambda text: None)
    shape = data.block(0)[0].shape[1:]
    outputs = max(_outputs(config, store) for store in (data, other) if store is not None)  # a split may lack classes
    model = build_model(config.model.name, shape, outputs, config.model.options, config.train.seed)
    o = config.objective
    require_usable(model)  # before anything is read into it
    convert(model, DTYPES[o.dtype])  # before the weights come, which would be rounded otherwise
    if config.model.weights is not None:
        load_weights(model, config.model.weights)
    temper(model, temperature)
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

    Attributes:
        objective: over the split that is measured.
        test_objective: the same model and loss on held-out samples, for a study that trains and has any.
    """

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        objective: Objective,
        test_objective: Objective | None,
        runner: Runner,
        progress: Progress,
        mirror: Callable[[], bool],
    ) -> None:
        self.run, self.config, self.objective, self.test_objective = run, config, objective, test_objective
        self.runner, self.progress, self.mirror = runner, progress, mirror

    def stage(self, name: str, compute: Callable[[RunJournal], Stage], **aim: Any) -> Stage:
        """The committed outcome of a stage, computed now if it is not there yet.

        ``aim`` is what a reader of the log needs to follow it: of eigenpairs ``top``, ``low`` and ``tol``, of
        everything that has Lanczos runs ``dim``.
        """
        done = self.run.stage(name)
        if done is None:
            self.run.log.append("begun", name=name, **aim)
            self.progress.update(name)
            done = self._computed(name, compute)
        return done

    def _computed(self, name: str, compute: Callable[[RunJournal], Stage]) -> Stage:
        """The outcome of a stage, whatever happens to workers that hold vectors."""
        fruitless = 0  # losses since the last commit that the work itself may have caused
        while True:
            journal = RunJournal(self.run, name, self.progress.step, lambda: self.runner.renewal)
            try:
                done = compute(journal)  # begins where the last commit was
                self.run.commit_stage(name, done)
                journal.discard()
                return done
            except Renewed as joined:
                self.progress.say(f"{joined}; {name} goes on with it")
                self.runner.recover()
            except GenerationLost as error:
                fruitless = error.blamed + (fruitless if journal.commits == 0 else 0)
                if fruitless == ATTEMPTS:
                    raise
                self.run.log.append("fault", text=str(error))
                self.progress.say(f"{error}; {name} goes on from its last commit")
                self.runner.recover(repeated=fruitless > 1)
            finally:
                journal.end()

    def at(self, weights: Path) -> Objective:
        """The objective at the weights of a checkpoint."""
        return self.objective.with_weights(load_file(weights))
