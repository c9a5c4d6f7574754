"""What the commands of the service share: their options, and a job as JSON or as a line."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distlandscape.cli.study import add_json_option

if TYPE_CHECKING:
    from distlandscape.service.jobs import Jobs, JobStatus
    from distlandscape.service.state import State


def add_service_options(parser: argparse.ArgumentParser, address: bool = True) -> None:
    """``--address``, ``--state`` and ``--json``."""
    if address:
        add_address_option(parser)
    add_state_option(parser)
    add_json_option(parser)


def add_address_option(parser: argparse.ArgumentParser) -> None:
    """``--address``."""
    parser.add_argument(
        "--address",
        metavar="URL",
        help="job server of a Ray cluster, http://HOST:PORT (default: the one up started)",
    )


def add_state_option(parser: argparse.ArgumentParser) -> None:
    """``--state``."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        help="folder of the services' state (default: $DISTLANDSCAPE_STATE, else ~/.local/state/distlandscape)",
    )


def state_of(args: argparse.Namespace) -> State:
    """The state folder the command means."""
    from distlandscape.service.state import State

    return State(args.state)


def jobs_of(args: argparse.Namespace) -> Jobs:
    """The job server the command means."""
    from distlandscape.service.connect import connect

    return connect(state_of(args), args.address)


def job_document(job: JobStatus) -> dict[str, Any]:
    """A job as ``--json`` prints it, with the run it worked on where this machine sees it."""
    from distlandscape.service.runs import run_of

    run = run_of(job.job_id, Path(job.metadata["out"])) if "out" in job.metadata else None
    found = {} if run is None else {"run_id": run.run_id, "run_dir": str(run.path), "run_status": run.status}
    return {**asdict(job), "run_id": None, "run_dir": None, "run_status": None, **found}


def job_line(job: JobStatus) -> str:
    """A job in one line."""
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started_ms / 1000)) if job.started_ms else ""
    code = f" (exit code {job.exit_code})" if job.exit_code else ""
    return f"{job.job_id:<40} {job.status:<10} {began}{code}"


def exit_code(job: JobStatus) -> int:
    """What a command that waited for a job ends with: the job's own code, 130 for a stopped one."""
    if job.status == "SUCCEEDED":
        return 0
    return 130 if job.status == "STOPPED" else job.exit_code or 1
