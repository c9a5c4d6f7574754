"""Jobs on Ray: submit, list, follow, stop, by the job server of the local head or of any cluster."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distlandscape.errors import InputError
from distlandscape.redaction import redact

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")  # Ray's words for a job that is over
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Job:
    """What is submitted.

    Attributes:
        job_id: its submission id.
        entrypoint: the command line, quoted for a shell.
        metadata: what the list of jobs shows; no secrets.
        folder: a folder that becomes the job's working directory; None: none is sent.
    """

    job_id: str
    entrypoint: str
    metadata: dict[str, str]
    folder: Path | None = None


@dataclass(frozen=True)
class JobStatus:
    """What the job server knows of a job.

    Attributes:
        job_id: its submission id.
        status: Ray's own word: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        exit_code: of its process, once that ended by itself.
        message: Ray's explanation.
        metadata: as submitted.
        started_ms: when, in milliseconds since 1970; None before.
        ended_ms: likewise.
    """

    job_id: str
    status: str
    exit_code: int | None
    message: str
    metadata: dict[str, str]
    started_ms: int | None
    ended_ms: int | None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in ENDED


class Jobs:
    """A job server's client that answers mistakes with a sentence.

    Args:
        client: Ray's ``JobSubmissionClient``, or what behaves like it.
        address: where it is, for the sentences.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client, self.address = client, redact(address)

    def submit(self, job: Job) -> str:
        """Hand a job over; returns its id.

        Raises:
            InputError: the id is no plain name or is taken, or the server refuses.
        """
        check_name(job.job_id)
        if any(known.job_id == job.job_id for known in self.all()):
            raise InputError(f"a job {job.job_id} is there already at {self.address}; choose another --id")
        environment = {} if job.folder is None else {"working_dir": str(job.folder)}
        with self._said():
            self._client.submit_job(
                entrypoint=job.entrypoint,
                submission_id=job.job_id,
                runtime_env=environment,
                metadata={key: redact(value) for key, value in job.metadata.items()},
            )
        return job.job_id

    def all(self) -> list[JobStatus]:
        """Every submitted job the server knows, newest first."""
        with self._said():
            found = [_status(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: job.started_ms or 0, reverse=True)

    def status(self, job_id: str) -> JobStatus:
        """One job.

        Raises:
            InputError: the server knows no such job.
        """
        check_name(job_id)
        with self._said(job_id):
            return _status(self._client.get_job_info(job_id))

    def logs(self, job_id: str) -> str:
        """All a job has printed so far."""
        self.status(job_id)
        with self._said(job_id):
            return str(self._client.get_job_logs(job_id))

    def follow(self, job_id: str, write: Callable[[str], object]) -> JobStatus:
        """Hand on what a job prints until it is over; returns how it ended."""
        self.status(job_id)

        async def copy() -> None:
            async for lines in self._client.tail_job_logs(job_id):
                write(lines)

        with self._said(job_id):
            asyncio.run(copy())
        return self.wait(job_id, 10.0)  # its state comes a moment after its last line

    def stop(self, job_id: str, seconds: float = 90.0) -> JobStatus:
        """Ask a job to end and wait for it; a run it was at is marked and can be resumed.

        Raises:
            InputError: no such job, or it is over.
        """
        now = self.status(job_id)
        if now.ended:
            raise InputError(f"the job {job_id} is over ({now.status}); there is nothing to stop")
        with self._said(job_id):
            self._client.stop_job(job_id)
        return self.wait(job_id, seconds)

    def wait(self, job_id: str, seconds: float) -> JobStatus:
        """How a job is when it is over, or after so many seconds."""
        deadline = time.monotonic() + seconds
        while not (now := self.status(job_id)).ended and time.monotonic() < deadline:
            time.sleep(0.2)
        return now

    @contextmanager
    def _said(self, looked_up: str | None = None) -> Iterator[None]:
        """Turn what the client raises into sentences; ``looked_up``: the job that was asked for."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except InputError:
            raise
        except AuthenticationError:
            raise refused(self.address) from None
        except OSError:  # the errors of requests and aiohttp are
            raise silent(self.address) from None
        except Exception as error:
            if looked_up is not None and all(job.job_id != looked_up for job in self.all()):
                raise InputError(
                    f"no job {looked_up} is known at {self.address}; distlandscape status lists those that are"
                ) from None
            text = redact(" ".join(str(error).split()))[:300]
            raise RuntimeError(f"the job server at {self.address} failed: {text}") from None


def check_name(job_id: str) -> None:
    """Raise InputError unless an id is a plain name, which no address or page can misread."""
    if not NAME.fullmatch(job_id):
        raise InputError(
            f"{job_id[:80]!r} is no id of a job; give at most 100 letters, digits, dots, dashes and underscores"
        )


def refused(address: str) -> InputError:
    """What to say where a job server does not take the token it was sent, or was sent none."""
    return InputError(
        f"the job server at {address} wants another token; set RAY_AUTH_TOKEN_PATH to the file with its token"
    )


def silent(address: str) -> InputError:
    """What to say where nobody answers."""
    return InputError(f"no Ray job server answers at {address}; start one (distlandscape up), or correct --address")


def _status(details: Any) -> JobStatus:
    return JobStatus(
        job_id=str(details.submission_id),
        status=str(getattr(details.status, "value", details.status)),
        exit_code=details.driver_exit_code,
        message=str(details.message or ""),
        metadata=dict(details.metadata or {}),
        started_ms=details.start_time,
        ended_ms=details.end_time,
    )
