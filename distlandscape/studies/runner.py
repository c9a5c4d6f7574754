"""Runs, records and resumes every study alike: check, run directory, lease, measure, page, mirror."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

from distlandscape.config import RunConfig, validate_config
from distlandscape.errors import InputError, Interrupted, TrainingError
from distlandscape.objective import Objective
from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.run import Run, require_writable
from distlandscape.runtime import LocalRunner, Pool
from distlandscape.runtime.runner import Runner
from distlandscape.studies import spectrum, train
from distlandscape.studies.checkpoints import check_training, steps_trained, trained_checkpoints
from distlandscape.studies.context import StudyContext, build_objective
from distlandscape.studies.progress import Progress
from distlandscape.studies.provenance import git_commit, provenance, versions
from distlandscape.studies.stores import Stores, imported

MakePage = Callable[[Path], Path]


class Study(Protocol):
    """What the runner asks of a study's module."""

    def check(self, config: RunConfig, objective: Objective) -> None:
        """Raise InputError for what cannot be measured on this objective."""

    def planned_passes(self, config: RunConfig, checkpoints: int) -> float:
        """A rough count of passes, for the expected end only."""

    def measure(self, context: StudyContext, checkpoints: list[tuple[int, Path]]) -> dict[str, Any]:
        """Measure, stage by stage; returns the summary, with a status of COMPLETE or what was not reached and why."""


STUDIES: dict[str, Study] = {"spectrum": spectrum, "quickstart": spectrum, "train": train}
COMPLETE = ("converged", "done")


@dataclass(frozen=True)
class Outcome:
    """What a finished study hands back."""

    run: Run
    result: dict[str, Any]
    open_mlflow: str

    @property
    def converged(self) -> bool:
        """Whether every requested tolerance was reached."""
        return self.run.status == "done"


def run_study(study: str, config: RunConfig, out: Path, make_page: MakePage) -> Outcome:
    """Check everything, make a run directory in ``out`` and measure.

    Raises:
        InputError: something the user gave is wrong; no worker was started.
        Interrupted: SIGINT or SIGTERM; the run can be resumed.
    """
    config = resolve(config, study)
    check_training(config)
    require_writable(out)
    _use_threads(config)
    with imported(config, out, study) as stores:
        objective, other = _objectives(config, stores)
        STUDIES[study].check(config, objective)
    identity = {
        "created": time.time(),
        "stores": stores.identity(),
        "digests": {"data": stores.measured.digest, "config": config.digest()},
        "versions": versions(),
        "git_commit": git_commit(),
    }
    run = Run.create(out, study, config.model_dump(mode="json"), identity)
    return _execute(run, config, objective, other, make_page)


def resume_study(run: Run, make_page: MakePage, workers: int | None = None) -> Outcome:
    """Go on with an interrupted run, with another number of workers if given; the numbers are the same bits.

    Raises:
        InputError: the run is finished, held by another process, or its data are gone.
        Interrupted: SIGINT or SIGTERM again.
    """
    if run.study not in STUDIES:
        raise InputError(f"{run.path} belongs to the study {run.study!r}, which this version does not know")
    tree = run.config
    if workers is not None:
        tree["runtime"]["workers"] = workers
    config = validate_config(tree)
    if run.status in ("done", "unconverged"):
        raise InputError(f"the run {run.path} is finished ({run.status}); start a new one to measure again")
    if not run.resumable:
        why = run.log.events("ended")[-1]["detail"]
        raise InputError(f"the run {run.path} failed, and would fail again: {why}")
    _use_threads(config)
    stores = Stores.reopened(run.identity["stores"])
    # Then the initial weights are needed no more, wherever they came from.
    trained = run.stage("train") is not None or steps_trained(run) > 0
    start = (
        config.model_copy(update={"model": config.model.model_copy(update={"weights": None})}) if trained else config
    )
    return _execute(run, config, *_objectives(start, stores), make_page)


def _objectives(config: RunConfig, stores: Stores) -> tuple[Objective, Objective | None]:
    """The objective over the split that is measured, and over the other one where it is needed."""
    objective = build_objective(config, stores.measured, stores.other)
    return objective, objective.with_data(stores.other) if stores.other is not None else None


def resolve(config: RunConfig, study: str) -> RunConfig:
    """Fill in what depends on other keys, so that the record says what was done."""
    tree = config.model_dump(mode="json")
    if tree["train"]["steps"] is None:
        tree["train"]["steps"] = 0 if config.model.weights is not None and study != "train" else 500
    if tree["train"]["checkpoints"] is None:
        tree["train"]["checkpoints"] = 10 if study == "train" else 1
    if tree["runtime"]["threads"] is None:
        tree["runtime"]["threads"] = max(1, int(config.runtime.cpus_per_worker))  # for the driver too: equal bits
    return validate_config(tree)


def _use_threads(config: RunConfig) -> None:
    """The driver's own arithmetic keeps to the same number of threads: equal bits are promised at equal threads."""
    assert config.runtime.threads is not None, "resolve fills it in"
    torch.set_num_threads(config.runtime.threads)


def _execute(
    run: Run, config: RunConfig, objective: Objective, other: Objective | None, make_page: MakePage
) -> Outcome:
    began = time.monotonic()
    mirror = MlflowMirror(run, config.tracking.uri, config.tracking.experiment)
    with run.lease(), _terminable():
        run.log.repair()
        run.log.append("started", pid=os.getpid(), workers=config.runtime.workers)
        with Progress() as progress:
            progress.say(f"run directory: {run.path}")
            progress.say(f"after an interruption: distlandscape resume {shlex.quote(str(run.path))}")
            if mirror.push() and mirror.run_id is not None and not run.stages():
                run.adopt_id(mirror.run_id)
            try:
                result = _measure(run, config, objective, other, progress, mirror)
            except BaseException as error:
                _end_badly(run, error, progress, make_page, mirror)
                raise
            progress.update("writing the page")
            result = {
                "run_id": run.run_id,
                "run_dir": str(run.path),
                "report": str(run.path / "report.html"),
                **result,
                "wall_s": round(run.seconds_before() + time.monotonic() - began, 3),
                "workers": config.runtime.workers,
                "transport": config.runtime.transport if config.runtime.workers else "local",
            }
            run.write_result(result)
            status = "done" if result["status"] in COMPLETE else "unconverged"
            run.log.append("ended", status=status, detail=result["status"])
            make_page(run.path)
            mirror.push(final=True)
    return Outcome(run, result, mirror.url_hint)


def _measure(
    run: Run,
    config: RunConfig,
    objective: Objective,
    other: Objective | None,
    progress: Progress,
    mirror: MlflowMirror,
) -> dict[str, Any]:
    study = STUDIES[run.study]
    held_out = other if other is not None and other.data.split == "test" else None
    trained_on = other if other is not None and held_out is None else objective
    checkpoints = trained_checkpoints(run, config, trained_on, progress, mirror.push)
    planned = study.planned_passes(config, len(checkpoints))
    progress.say(
        f"{objective.parameters:,} parameters, {objective.samples:,} samples in {objective.data.blocks} blocks;"
        f" roughly {planned:.0f} passes over the data are expected"
    )
    progress.update("starting workers")
    with _runner(run, config, progress) as runner:
        progress.plan(planned)
        context = StudyContext(run, config, objective, held_out, runner, progress, mirror.push)
        result = study.measure(context, checkpoints)
        return {**result, "provenance": provenance(config, objective, runner)}


def _runner(run: Run, config: RunConfig, progress: Progress) -> AbstractContextManager[Runner]:
    r = config.runtime

    def event(text: str) -> None:
        run.log.append("fault", text=text)
        progress.say(text)

    if r.workers == 0:
        return nullcontext(LocalRunner(r.threads, r.micro_batch))
    return Pool(
        r.workers,
        r.cpus_per_worker,
        r.gpus_per_worker,
        r.threads,
        r.transport,
        micro_batch=r.micro_batch,
        on_event=event,
    )


def _end_badly(run: Run, error: BaseException, progress: Progress, make_page: MakePage, mirror: MlflowMirror) -> None:
    """Mark the run, keep the traceback, show what there is; what goes wrong here must not hide the error itself."""
    interrupted = isinstance(error, (KeyboardInterrupt, Interrupted))
    if not interrupted:
        (run.path / "error.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        progress.say(f"the traceback is in {run.path / 'error.txt'}")
    final = isinstance(error, TrainingError)
    status = "interrupted" if interrupted else "failed"
    run.log.append("ended", status=status, detail=str(error) or "interrupted", final=final)
    if final:
        progress.say("to resume this run would end alike; start a new one with other settings")
    else:
        progress.say(f"nothing is lost; go on with: distlandscape resume {shlex.quote(str(run.path))}")
    try:
        make_page(run.path)
    except Exception as second:
        progress.say(f"the page of the unfinished run could not be made ({second})")
    mirror.push(final=True)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, which a scheduler sends before it kills, ends a run as Ctrl-C does: marked and resumable."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted("stopped by SIGTERM")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
