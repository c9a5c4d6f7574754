"""What a study says it will take when it starts: the models of ``plan``, timed more briefly."""

from __future__ import annotations

from distlandscape.config import RunConfig
from distlandscape.objective import Objective
from distlandscape.record.run import Run
from distlandscape.runtime.runner import Runner
from distlandscape.studies import probe, sweep_plan
from distlandscape.studies.progress import Progress


def say_passes(config: RunConfig, objective: Objective, passes: float, runner: Runner, progress: Progress) -> None:
    """Say it of a study of passes, timed where products will run: in this process, or for GPUs in a worker.

    Cost: five products on one block.
    """
    question, r = (objective, config), config.runtime
    there = r.workers and r.gpus_per_worker
    costs = runner.map_tasks(probe.briefly, [question])[0] if there else probe.briefly(question)
    expected = f"roughly {passes:.0f} passes over the data"
    progress.say(
        f"{objective.parameters:,} parameters, {objective.samples:,} samples in {objective.data.blocks} blocks;"
        f" {expected if costs is None else costs.told(max(1, r.workers), passes)}"
    )


def say_sweep(run: Run, question: sweep_plan.Question, runner: Runner, progress: Progress) -> None:
    """Say it of a sweep, timed on a worker; a resume goes on without."""
    if not run.log.events("trial") and not run.stages():
        progress.update("timing what the sweep consists of")
        progress.say(runner.map_tasks(sweep_plan.briefly, [question])[0].told(max(1, runner.workers)))
