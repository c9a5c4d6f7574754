"""``distlandscape resume``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape import stopping
from distlandscape.cli.service import add_service_options, jobs_of, state_of
from distlandscape.cli.study import RESULTS, figure_maker, finish, page_maker, print_json
from distlandscape.config import validate_config
from distlandscape.errors import InputError
from distlandscape.record.maker import require_own
from distlandscape.record.run import Run


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "resume",
        help="go on with an interrupted run",
        description="Go on with an interrupted run; the numbers are the same bits as without the interruption.",
    )
    parser.add_argument(
        "run_dir",
        metavar="RUN",
        help="run directory, or a folder with one unfinished run in it; or the id of a job that has ended",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="another number of Ray workers; 0: in this process")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="load the code and use the tracking server that a run made elsewhere names",
    )
    parser.add_argument("--submit", action="store_true", help="go on as a new job, as always with the id of a job")
    add_service_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Resume; exit codes as the study's own, 0 for a job that was submitted."""
    missing = "/" not in args.run_dir and not Path(args.run_dir).exists()
    if missing and not args.submit:
        _require_server(args)
    if args.submit or args.address or missing:
        return _submit(args)
    found = find_unfinished(Path(args.run_dir))
    with stopping.listening():
        from distlandscape.studies.runner import resume_study

        outcome = resume_study(found, page_maker(), args.workers, figure_maker(), args.trust)
        finish(outcome, args)
    return 0 if outcome.converged or found.study == "quickstart" else 3


def find_unfinished(path: Path) -> Run:
    """The run directory itself, or the one unfinished run in a folder of runs.

    Raises:
        InputError: no such run, or several.
    """
    if (path / "run.json").exists() or not path.is_dir():
        return Run.open(path)
    runs = [Run.open(file.parent) for file in sorted(path.glob("*/run.json"))]
    unfinished = [run for run in runs if run.resumable]
    if not unfinished:
        raise InputError(f"no unfinished run in {path} that could go on; give the run directory of one that can")
    if len(unfinished) > 1:
        names = ", ".join(run.path.name for run in unfinished)
        raise InputError(f"several unfinished runs in {path}: {names}; give the run directory of one")
    return unfinished[0]


def _require_server(args: argparse.Namespace) -> None:
    """Raise InputError for what may be the id of a job where no job server is there to ask."""
    from distlandscape.service.connect import is_named
    from distlandscape.service.runs import run_of

    if is_named(state_of(args), args.address):
        return
    run = run_of(args.run_dir, Path(RESULTS))
    if run is not None:
        raise InputError(
            f"nothing is up that could go on with the job {args.run_dir}; its run goes on in this process with"
            f" distlandscape resume {RESULTS}/{run.path.name}, or as a job after distlandscape up with --submit"
        )
    raise InputError(
        f"{args.run_dir} is not a run directory, and nothing is up that could know a job of that name; give the path"
        " of the run directory (distlandscape runs lists runs)"
    )


def _submit(args: argparse.Namespace) -> int:
    """Go on as a new job, on whichever cluster sees the run directory."""
    from distlandscape.service.connect import is_local
    from distlandscape.service.entry import entrypoint, new_id
    from distlandscape.service.jobs import Job
    from distlandscape.service.runs import run_of

    jobs = jobs_of(args)
    if Path(args.run_dir).exists():
        found = find_unfinished(Path(args.run_dir))
    else:
        job = jobs.status(args.run_dir)
        if not job.ended:
            raise InputError(f"the job {job.job_id} is {job.status}; stop it before you resume its run")
        run = run_of(job.job_id, Path(job.metadata["out"])) if "out" in job.metadata else None
        if run is None:
            raise InputError(
                f"the job {job.job_id} left no run directory this machine sees; give the run directory itself"
            )
        found = run
    if not found.resumable:
        raise InputError(f"the run {found.path} is {found.status} and cannot go on; start a new one")
    local = is_local(state_of(args), jobs.address)
    if local and not args.trust:
        config = validate_config(found.config)
        require_own(found, config.model.name, config.model.options, config.tracking.uri)
    options = [] if args.workers is None else ["--workers", str(args.workers)]
    command = entrypoint(["resume", str(found.path), *options, *(["--trust"] if args.trust else [])], local)
    metadata = {"study": found.study, "out": str(found.path.parent), "resumes": found.run_id}
    job_id = jobs.submit(Job(new_id(f"resume-{found.study}"), command, metadata))
    if args.json:
        print_json({"job_id": job_id, "run_dir": str(found.path)}, args)
    else:
        print(f"{job_id}\nfollow it with: distlandscape logs -f {job_id}", file=args.stdout)
    return 0
