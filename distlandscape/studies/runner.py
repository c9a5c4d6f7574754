"""Runs and resumes every study alike: check, run directory, train, measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from distlandscape.config import RunConfig, validate_config
from distlandscape.data import BlockStore
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.record.maker import mark, require_own
from distlandscape.record.run import Run, require_writable
from distlandscape.record.untouched import require_untouched
from distlandscape.runtime import session
from distlandscape.runtime.operators import CurvatureOperator
from distlandscape.runtime.runner import Runner
from distlandscape.studies import (
    clustering,
    emergence,
    goldilocks,
    hierarchy,
    hyperplane,
    spectrum,
    theory,
    train,
)
from distlandscape.studies.checkpoints import check_training, steps_trained, trained_checkpoints
from distlandscape.studies.context import StudyContext, build_objective
from distlandscape.studies.execute import MakePage, Outcome, execute, make_runner
from distlandscape.studies.expected import say_passes, say_sweep
from distlandscape.studies.figures import Draw
from distlandscape.studies.given import given_checkpoints, given_files, input_digests, require_inputs
from distlandscape.studies.progress import Progress
from distlandscape.studies.provenance import git_commit, provenance, versions
from distlandscape.studies.stores import Stores, imported
from distlandscape.studies.tuning import PLAIN, tuned
from distlandscape.training import checkpoint_steps


class Study(Protocol):
    """What the runner asks of the module of a study that measures a network."""

    def check(self, config: RunConfig, objective: Objective) -> None:
        """Raise InputError for what cannot be measured on this objective."""

    def planned_passes(self, config: RunConfig, checkpoints: int) -> float:
        """A rough count of passes, for the expected end only."""

    def measure(self, context: StudyContext, checkpoints: list[tuple[int, Path]]) -> dict[str, Any]:
        """Measure, stage by stage; returns the summary, with a status of COMPLETE or what was not reached and why."""


class SweepStudy(Protocol):
    """The same of a study that is a sweep of tasks."""

    def check(self, config: RunConfig, objective: Objective) -> None:
        """See Study."""

    def measure(
        self,
        run: Run,
        config: RunConfig,
        objective: Objective,
        test: BlockStore | None,
        runner: Runner,
        progress: Progress,
        push: Callable[[], object],
    ) -> dict[str, Any]:
        """Do what is not done of the tasks; returns the summary."""


EMERGENCE = "emergence"
STUDIES: dict[str, Study] = {
    "spectrum": spectrum,
    "quickstart": spectrum,
    "train": train,
    "clustering": clustering,
    "hierarchy": hierarchy,
    EMERGENCE: emergence,
}
THEORY = "theory"
# Made of many short tasks, without weights or checkpoints that they share.
SWEEPS: dict[str, SweepStudy] = {"hyperplane": hyperplane, "goldilocks": goldilocks}
CHECKPOINTS = {"train": 10, "clustering": 5, EMERGENCE: 9}  # where none are asked for; 1 in the other studies


def run_study(study: str, config: RunConfig, out: Path, make_page: MakePage, draw: Draw | None = None) -> Outcome:
    """Check everything, make a run directory in ``out`` and measure; ``draw``: see ``execute``.

    Raises:
        InputError: something the user gave is wrong; no worker was started.
        Interrupted: it was asked to stop; the run can be resumed.
    """
    config = resolve(config, study)
    if config.runtime.workers:
        session.check()
    require_writable(out)
    _use_threads(config)
    identity: dict[str, Any] = {"created": time.time(), "versions": versions(), "git_commit": git_commit()}
    identity |= mark(config.model.name, config.model.options, config.tracking.uri)
    if study == THEORY:
        theory.check(config)
        digests = {"config": config.digest()}
        run = Run.create(out, study, config.model_dump(mode="json"), {**identity, "digests": digests})
        return _theory(run, config, make_page, draw)
    check_training(config)
    with imported(config, out, study) as stores:
        objective, other = _objectives(config, stores)
        (SWEEPS[study] if study in SWEEPS else STUDIES[study]).check(config, objective)
        config, timings = tuned(config, objective, main_operator(study, config, objective))
    if timings is not None:
        identity["tuned"] = timings
    digests = {"data": stores.measured.digest, "config": config.digest()}
    identity |= {"stores": stores.identity(), "digests": digests, "inputs": input_digests(study, config)}
    identity |= {"parameters": objective.parameters, **_described(objective)}
    run = Run.create(out, study, config.model_dump(mode="json"), identity)
    if study in SWEEPS:
        return _sweep(run, config, objective, stores, make_page, draw)
    return _network(run, config, objective, other, make_page, draw)


def resume_study(
    run: Run, make_page: MakePage, workers: int | None = None, draw: Draw | None = None, trust: bool = False
) -> Outcome:
    """Go on with an interrupted run, with another number of workers if given; the numbers are the same bits.

    ``trust``: the code that the run names may be loaded, and its tracking server be spoken to, whoever made the run.

    Raises:
        InputError: the run is finished, held by another process, or something it goes by was changed or is gone; or it
            names code or a tracking server, and nothing shows that this user chose it.
        Interrupted: it was asked to stop again.
    """
    if run.study not in (*STUDIES, *SWEEPS, THEORY):
        raise InputError(f"{run.path} belongs to the study {run.study!r}, which this version does not know")
    tree = run.config
    if workers is not None:
        tree["runtime"]["workers"] = workers
    config = validate_config(tree)
    if run.status in ("done", "unconverged"):
        raise InputError(f"the run {run.path} is finished ({run.status}); start a new one to measure again")
    if not run.resumable:
        why = run.log.events("ended")[-1].get("detail")
        raise InputError(f"the run {run.path} failed, and would fail again: {why}")
    require_untouched(run)
    if not trust:
        require_own(run, config.model.name, config.model.options, config.tracking.uri)
    if config.runtime.workers:
        session.check()
    _use_threads(config)
    if run.study == THEORY:
        return _theory(run, config, make_page, draw)
    stores = Stores.reopened(run.identity["stores"])
    if run.study in SWEEPS:
        require_inputs(run, config)
        return _sweep(run, config, _objectives(config, stores)[0], stores, make_page, draw)
    # Then the initial weights are needed no more, wherever they came from.
    trained = run.stage("train") is not None or steps_trained(run) > 0
    if not trained:
        require_inputs(run, config)
    start = (
        config.model_copy(update={"model": config.model.model_copy(update={"weights": None})}) if trained else config
    )
    return _network(run, config, *_objectives(start, stores), make_page, draw)


def resolve(config: RunConfig, study: str) -> RunConfig:
    """Fill in what depends on other keys, so that the record says what was done."""
    tree = config.model_dump(mode="json")
    if config.runtime.transport == "collective" and config.runtime.workers == 0:
        raise InputError(
            "runtime.transport=collective shares vectors out among workers, but runtime.workers is 0; give workers, or"
            " leave the transport out"
        )
    if tree["train"]["steps"] is None:
        given = config.model.weights is not None or (study == EMERGENCE and config.emergence.checkpoints is not None)
        tree["train"]["steps"] = 0 if given and study != "train" else 500
    if tree["train"]["checkpoints"] is None:
        tree["train"]["checkpoints"] = CHECKPOINTS.get(study, 1)
    if tree["runtime"]["threads"] is None:
        tree["runtime"]["threads"] = max(1, int(config.runtime.cpus_per_worker))  # for the driver too: equal bits
    if not config.runtime.tune or study not in STUDIES:  # else the probe fills in what is left open
        for key, value in (("product", PLAIN.method), ("channels_last", PLAIN.channels_last)):
            if tree["runtime"][key] is None:
                tree["runtime"][key] = value
    return validate_config(tree)


def main_operator(study: str, config: RunConfig, objective: Objective) -> CurvatureOperator | None:
    """The operator whose products take most of a study's time; None: the Hessian."""
    return spectrum.make_operator(config, objective) if STUDIES.get(study) is spectrum else None


def checkpoints_expected(study: str, config: RunConfig) -> int:
    """How many checkpoints the study measures: those of a given folder, or of its training."""
    if study == EMERGENCE and config.emergence.checkpoints is not None:
        return len(given_files(config.emergence.checkpoints))
    assert config.train.steps is not None and config.train.checkpoints is not None, "resolve fills them in"
    return len(checkpoint_steps(config.train.steps, config.train.checkpoints))


def single_passes(study: str, config: RunConfig, checkpoints: int) -> float:
    """Passes of one vector that are expected: with blocks there are fewer, and dearer ones."""
    single = config.model_copy(update={"spectrum": config.spectrum.model_copy(update={"block": 1})})
    return STUDIES[study].planned_passes(single, checkpoints)


def _use_threads(config: RunConfig) -> None:
    """The driver's own arithmetic keeps to the same number of threads: equal bits are promised at equal threads."""
    assert config.runtime.threads is not None, "resolve fills it in"
    torch.set_num_threads(config.runtime.threads)


def _objectives(config: RunConfig, stores: Stores) -> tuple[Objective, Objective | None]:
    """The objective over the split that is measured, and over the other one where it is needed."""
    objective = build_objective(config, stores.measured, stores.other)
    return objective, objective.with_data(stores.other) if stores.other is not None else None


def _described(objective: Objective) -> dict[str, Any]:
    """Which parameters of the model the objective is a function of, for the record."""
    return {"described_parameters": objective.described_parameters, "frozen": objective.frozen}


def _theory(run: Run, config: RunConfig, make_page: MakePage, draw: Draw | None) -> Outcome:
    def work(progress: Progress, push: Callable[[], bool]) -> dict[str, Any]:
        with make_runner(run, config, progress) as runner:
            say_sweep(run, (run.study, config, None, None), runner, progress)
            return theory.measure(run, config, runner, progress)

    return execute(run, config, work, make_page, draw)


def _sweep(
    run: Run, config: RunConfig, objective: Objective, stores: Stores, make_page: MakePage, draw: Draw | None
) -> Outcome:
    def work(progress: Progress, push: Callable[[], bool]) -> dict[str, Any]:
        with make_runner(run, config, progress) as runner:
            say_sweep(run, (run.study, config, objective, stores.other), runner, progress)
            result = SWEEPS[run.study].measure(run, config, objective, stores.other, runner, progress, push)
            return {**result, **_described(objective)}

    return execute(run, config, work, make_page, draw)


def _network(
    run: Run,
    config: RunConfig,
    objective: Objective,
    other: Objective | None,
    make_page: MakePage,
    draw: Draw | None,
) -> Outcome:
    study = STUDIES[run.study]
    held_out = other if other is not None and other.data.split == "test" else None
    trained_on = other if other is not None and held_out is None else objective

    def work(progress: Progress, push: Callable[[], bool]) -> dict[str, Any]:
        if run.study == EMERGENCE and config.emergence.checkpoints is not None:
            checkpoints = given_checkpoints(run, config.emergence.checkpoints, objective)
        else:
            checkpoints = trained_checkpoints(run, config, trained_on, progress, push)
        planned = study.planned_passes(config, len(checkpoints))
        progress.update("starting workers")
        with make_runner(run, config, progress) as runner:
            say_passes(config, objective, single_passes(run.study, config, len(checkpoints)), runner, progress)
            progress.plan(planned)
            context = StudyContext(run, config, objective, held_out, runner, progress, push)
            result = study.measure(context, checkpoints)
            return {**result, **_described(objective), "provenance": provenance(config, objective, runner)}

    return execute(run, config, work, make_page, draw)
