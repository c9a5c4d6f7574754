"""What every study shares around its work: lease, log, progress, workers, page, mirror, and how it ends."""

from __future__ import annotations

import os
import shlex
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distlandscape import stopping
from distlandscape.config import RunConfig
from distlandscape.errors import Interrupted, TrainingError
from distlandscape.files import write_text
from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.run import Run
from distlandscape.redaction import redact
from distlandscape.runtime import LocalRunner, Pool
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.runner import Runner
from distlandscape.studies.figures import Draw, FiguresSoFar
from distlandscape.studies.progress import Progress
from distlandscape.studies.provenance import job_id

MakePage = Callable[[Path], Path]
Work = Callable[[Progress, Callable[[], bool]], dict[str, Any]]  # progress, push to the mirror -> summary
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


def execute(run: Run, config: RunConfig, work: Work, make_page: MakePage, draw: Draw | None = None) -> Outcome:
    """Do the work of a run, under its lease, and record how it ends.

    With ``draw`` the mirror is sent figures of what is under way.

    Raises:
        RunLockedError: another process holds the run.
        Interrupted: the run was asked to stop (see ``stopping``); it can be resumed.
        KeyboardInterrupt: the same by Ctrl-C, where the program that calls handles signals itself.
    """
    began = time.monotonic()
    mirror = MlflowMirror(run, config.tracking.uri, config.tracking.experiment)
    with stopping.noting(), run.lease():
        run.log.repair()
        with Progress(run.write_progress) as progress:
            try:
                run.log.append("started", pid=os.getpid(), workers=config.runtime.workers, job=job_id())
                progress.say(f"run directory: {run.path}")
                progress.say(f"after an interruption: distlandscape resume {shlex.quote(str(run.path))}")
                if mirror.push() and mirror.run_id is not None and not run.stages():
                    run.adopt_id(mirror.run_id)
                stopping.look()
                with nullcontext() if draw is None else FiguresSoFar(run, draw, mirror):
                    result = work(progress, mirror.push)
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
                with stopping.sealed():
                    run.write_result(result)
                    status = "done" if result["status"] in COMPLETE else "unconverged"
                    run.log.append("ended", status=status, detail=result["status"])
            except BaseException as error:
                _end_badly(run, error, progress, make_page, mirror)
                asked = stopping.reason()
                if asked is not None and isinstance(error, (Exception, SystemExit)) and stopping.stopped(error):
                    raise Interrupted(asked) from error  # the stop made it, not the run
                raise
            make_page(run.path)
            mirror.push(final=True)
    return Outcome(run, result, mirror.url_hint)


def make_runner(run: Run, config: RunConfig, progress: Progress) -> AbstractContextManager[Runner]:
    """Where passes and tasks run, as configured; faults are told and logged."""
    r = config.runtime
    runner: LocalRunner | Pool

    def event(text: str) -> None:
        run.log.append("fault", text=redact(text), micro_batch=runner.micro_batch)
        progress.say(text)

    # What memory once forced on the run holds after a resume too.
    smaller = [fault["micro_batch"] for fault in run.log.events("fault") if "micro_batch" in fault]
    micro_batch = smaller[-1] if smaller else r.micro_batch
    assert r.product is not None and r.channels_last is not None, "resolve or the probe fills them in"
    plan = ProductPlan(r.product, r.memory, r.channels_last)
    if r.workers == 0:
        runner = LocalRunner(r.threads, micro_batch, plan=plan, on_event=event)
        return nullcontext(runner)
    runner = Pool(
        r.workers,
        r.cpus_per_worker,
        r.gpus_per_worker,
        r.threads,
        r.transport,
        micro_batch=micro_batch,
        plan=plan,
        on_event=event,
    )
    pool = runner
    progress.workers = lambda: len(pool.pids)
    return runner


def _end_badly(run: Run, error: BaseException, progress: Progress, make_page: MakePage, mirror: MlflowMirror) -> None:
    """Mark the run, keep the traceback, show what there is; what goes wrong here must not hide the error itself."""
    interrupted, final = stopping.stopped(error), isinstance(error, TrainingError)
    status = "interrupted" if interrupted else "failed"
    with stopping.sealed():
        try:
            if not isinstance(error, (KeyboardInterrupt, Interrupted)):
                write_text(run.path / "error.txt", redact("".join(traceback.format_exception(error))))
                progress.say(f"the traceback is in {run.path / 'error.txt'}")
            detail = (stopping.reason() if interrupted else None) or redact(str(error)) or "interrupted"
            run.log.append("ended", status=status, detail=detail, final=final)
        except OSError as full:
            progress.say(f"the end of the run could not be recorded ({full}); make room on the disk before you resume")
    if final:
        progress.say("to resume this run would end alike; start a new one with other settings")
    else:
        progress.say(f"nothing is lost; go on with: distlandscape resume {shlex.quote(str(run.path))}")
    try:
        make_page(run.path)
    except Exception as second:
        progress.say(f"the page of the unfinished run could not be made ({second})")
    mirror.push(final=True)
