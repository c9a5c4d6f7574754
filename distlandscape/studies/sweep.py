"""Many short trainings: what is done is in the log, what is not runs through the runner, as far as the budget goes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from distlandscape.record.run import Run
from distlandscape.runtime.runner import Runner
from distlandscape.studies.progress import Progress

TABLES_SECONDS = 10.0
COST_SHARE = 0.05  # of the time, that writing tables on the way may take


class Trial(Protocol):
    """A task with a name of its own; ``seeds`` are the trainings in it."""

    @property
    def key(self) -> str:
        """Hash of its configuration."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """One a training."""


class Sweep:
    """Trials of one run. An outcome counts once its line is in the log; a restart trains nothing a second time.

    Args:
        function: makes an outcome of a trial, a mapping that JSON can hold; importable by name.
        trainings: how many trainings the run may do in all, those of earlier attempts included; None: no limit.
        minutes: after so many, of this and earlier attempts, no trial is begun; None: no limit.
        write_tables: stores the tables of the outcomes so far, for who looks on; every ten seconds or more rarely.
        work: of a trial, in the unit of the progress that was planned.
    """

    def __init__(
        self,
        run: Run,
        runner: Runner,
        function: Callable[[Any], dict[str, Any]],
        progress: Progress,
        trainings: int | None = None,
        minutes: float | None = None,
        write_tables: Callable[[list[dict[str, Any]]], object] = lambda outcomes: None,
        work: Callable[[Any], float] = lambda trial: len(trial.seeds),
    ) -> None:
        self._run, self._runner, self._function, self._progress = run, runner, function, progress
        self._trainings, self._minutes, self._work = trainings, minutes, work
        self._spent, self._began = run.seconds_before(), time.monotonic()
        self._outcomes = {event["key"]: event["outcome"] for event in run.log.events("trial")}
        self._write_tables, self._due = write_tables, self._began + TABLES_SECONDS
        self.exhausted = False

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        """All so far, in the order in which they ended."""
        return list(self._outcomes.values())

    def complete(self, trials: Sequence[Trial], name: str = "trainings") -> None:
        """Do those of the trials, named so, that are not done, in their order, until the budget ends."""
        self._keys, self._name = {trial.key for trial in trials}, name
        left = [trial for trial in trials if trial.key not in self._outcomes]
        left = self._affordable(left)
        # With a limit on time the clock is looked at whenever all workers have had a trial.
        wave = len(left) if self._minutes is None else max(1, self._runner.workers)
        for start in range(0, len(left), max(1, wave)):
            if self._late():
                self.exhausted = True
                return
            part = left[start : start + wave]
            self._runner.map_tasks(self._function, part, functools.partial(self._ended, part))

    def _ended(self, trials: Sequence[Trial], index: int, outcome: dict[str, Any]) -> None:
        key = trials[index].key
        self._run.log.append("trial", key=key, outcome=outcome)
        self._outcomes[key] = outcome
        self._progress.tick(self._work(trials[index]))
        done = sum(len(o["members"]) for key, o in self._outcomes.items() if key in self._keys)
        self._progress.update(f"{done} {self._name}")
        began = time.monotonic()
        if began >= self._due:
            self._write_tables(self.outcomes)
            now = time.monotonic()
            self._due = now + max(TABLES_SECONDS, (now - began) / COST_SHARE)

    def _affordable(self, trials: list[Trial]) -> list[Trial]:
        if self._trainings is None:
            return trials
        done = sum(len(outcome["members"]) for outcome in self._outcomes.values())
        for count, trial in enumerate(trials):
            done += len(trial.seeds)
            if done > self._trainings:
                self.exhausted = True
                return trials[:count]
        return trials

    def _late(self) -> bool:
        return self._minutes is not None and self._spent + time.monotonic() - self._began > 60 * self._minutes
