"""Deals jobs out to a crew: what a lost worker had is done again, by whoever is free or comes up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distlandscape.errors import WorkerFailure
from distlandscape.runtime.crew import Crew, Member
from distlandscape.runtime.waiting import wait

QUIET_SECONDS = 5.0  # without any result, after which workers are asked whether they live
ATTEMPTS = 4  # of one job, on as many workers


@dataclass
class Job:
    """Work for one worker, which may be done again.

    Attributes:
        name: in words, for messages.
        send: to an actor -> reference to the result.
        take: the result.
        split: smaller jobs that make up this one, to find out which of them kills workers; None if there are none.
        losses: workers that died of it.
    """

    name: str
    send: Callable[[Any], Any]
    take: Callable[[Any], None]
    split: Callable[[], list[Job]] | None = None
    losses: int = 0


def deal(crew: Crew, jobs: Sequence[Job]) -> None:
    """Do all jobs, one at a time on each worker; losses of machines do not count against a job.

    Raises:
        WorkerFailure: a job killed four workers, or no worker is left and none comes up.
    """
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    crew.admit()
    waiting, idle = deque(jobs), deque(crew.members)
    running: dict[Any, tuple[Member, Job]] = {}
    while waiting or running:
        while waiting and idle:
            member, job = idle.popleft(), waiting.popleft()
            running[job.send(member.actor)] = (member, job)
        if not running:
            crew.require_one()
            idle.extend(crew.members)
            continue
        watched = [*running, *(crew.coming if waiting else ())]
        ended = wait(watched, 1, QUIET_SECONDS)
        if not ended:
            crew.end_hung([member for member, _ in running.values()])
        for reference in ended:
            if reference not in running:
                idle.extend(crew.admit([reference]))
                continue
            member, job = running.pop(reference)
            try:
                result = ray.get(reference)
            except RayActorError as error:
                blamed = crew.lose(member, error, f"its {job.name} are done again")
                waiting.extendleft(_again(job, blamed))
            except RayTaskError as error:
                raise error.cause or error from error  # no cause where it could not be sent
            else:
                job.take(result)
                idle.append(member)


def _again(job: Job, blamed: bool) -> list[Job]:
    """What is to be done after a worker died: the job, or from the second time on its parts, one by one."""
    job.losses += blamed
    if job.losses >= ATTEMPTS:
        raise WorkerFailure(
            f"{job.losses} workers died one after another on {job.name}; look for memory (lower runtime.micro_batch) or"
            " bad samples there, then resume"
        )
    parts = job.split() if job.losses >= 2 and job.split is not None else []
    for part in parts:
        part.losses = job.losses
    return parts or [job]
