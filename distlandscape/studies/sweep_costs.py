"""What a sweep of tasks costs on so many workers: its parts, each timed once, dealt out as the pool deals tasks."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from distlandscape.studies.costs import GB, PROCESS_BYTES, count

OUTCOME_BYTES = 2000  # of a training in the log and the tables


@dataclass(frozen=True)
class Part:
    """Tasks that cost alike.

    Attributes:
        name: what they are.
        tasks: how many, at most.
        trainings: in each; 0 of a measurement.
        seconds: of each, on one worker.
    """

    name: str
    tasks: int
    trainings: int
    seconds: float


@dataclass(frozen=True)
class SweepCosts:
    """What a sweep consists of, as it was timed on this machine.

    Attributes:
        phases: each a list of parts; one begins when the one before it has ended.
        sample_bytes: of all samples, which every worker holds.
        held_bytes: most that a task holds beside them.
    """

    phases: tuple[tuple[Part, ...], ...]
    sample_bytes: float
    held_bytes: float

    @property
    def parts(self) -> list[Part]:
        """Of all phases."""
        return [part for phase in self.phases for part in phase]

    @property
    def tasks(self) -> int:
        """At most."""
        return sum(part.tasks for part in self.parts)

    @property
    def trainings(self) -> int:
        """At most."""
        return sum(part.tasks * part.trainings for part in self.parts)

    def plan(self, workers: int) -> SweepPlan:
        """Time, memory and disk with so many workers; whoever is free takes the next task."""
        return SweepPlan(
            workers=workers,
            total_seconds=sum(_dealt(phase, workers) for phase in self.phases),
            worker_bytes=PROCESS_BYTES + self.sample_bytes + self.held_bytes,
            driver_bytes=PROCESS_BYTES,
            moved_bytes=workers * self.sample_bytes,
            disk_bytes=self.sample_bytes + OUTCOME_BYTES * (self.trainings + self.tasks),
        )

    def described(self, passes: float) -> list[str]:
        """Its parts, a line each; a sweep has no passes."""
        rows = [
            f"{part.name:<32}  {part.tasks:5d}  {part.trainings or '':>9}  {part.seconds:10.3f}" for part in self.parts
        ]
        return [
            f"at most {self.tasks} tasks with {self.trainings} trainings",
            f"{'task':<32}  {'count':>5}  {'trainings':>9}  {'s each':>10}",
            *rows,
            "",
        ]

    def told(self, workers: int) -> str:
        """The expectation in a line."""
        plan = self.plan(workers)
        trainings = f" with {self.trainings} trainings" if self.trainings else ""
        return (
            f"at most {self.tasks} tasks{trainings}: about {plan.total_seconds:.0f} s on {count(workers)},"
            f" {plan.worker_bytes / GB:.2f} GB each, {plan.disk_bytes / GB:.2f} GB on disk"
        )


@dataclass(frozen=True)
class SweepPlan:
    """What is expected of one number of workers.

    Attributes:
        workers: how many.
        total_seconds: of the sweep.
        worker_bytes: memory of a worker, without the activations of a mini-batch.
        driver_bytes: memory of the driver.
        moved_bytes: samples that workers read from the block store, once.
        disk_bytes: block store and outcomes.
    """

    workers: int
    total_seconds: float
    worker_bytes: float
    driver_bytes: float
    moved_bytes: float
    disk_bytes: float


def _dealt(phase: tuple[Part, ...], workers: int) -> float:
    """Seconds until the last worker is done."""
    free_at = [0.0] * workers
    for part in phase:
        for _ in range(part.tasks):
            heapq.heapreplace(free_at, free_at[0] + part.seconds)
    return max(free_at)
