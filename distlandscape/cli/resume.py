"""``distlandscape resume``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape.cli.study import add_json_option, finish, page_maker
from distlandscape.errors import InputError
from distlandscape.record.run import Run


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "resume",
        help="go on with an interrupted run",
        description="Go on with an interrupted run; the numbers are the same bits as without the interruption.",
    )
    parser.add_argument("run_dir", metavar="RUN", help="run directory, or a folder with one unfinished run in it")
    parser.add_argument("--workers", metavar="N", type=int, help="another number of workers; 0: this process")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Resume; exit codes as the study's own."""
    found = find_unfinished(Path(args.run_dir))
    from distlandscape.studies.runner import resume_study

    outcome = resume_study(found, page_maker(), args.workers)
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
        raise InputError(f"no unfinished run in {path} that could go on; give a run directory")
    if len(unfinished) > 1:
        names = ", ".join(run.path.name for run in unfinished)
        raise InputError(f"several unfinished runs in {path}: {names}; give the directory of one")
    return unfinished[0]
