"""``distlandscape logs``."""

from __future__ import annotations

import argparse

from distlandscape.cli.service import add_service_options, exit_code, jobs_of
from distlandscape.cli.study import print_json
from distlandscape.errors import InputError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "logs",
        help="what a job printed",
        description="Print what a job printed; with --follow go on until it is over, and end with its exit code.",
    )
    parser.add_argument("job_id", metavar="ID", help="id of a job")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job is over")
    add_service_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print, or follow.

    Raises:
        InputError: no such job, no server answers, or --follow with --json.
    """
    if args.follow and args.json:
        raise InputError("--json prints one document, so it cannot follow; leave out --follow")
    jobs = jobs_of(args)
    if args.follow:
        return exit_code(jobs.follow(args.job_id, lambda text: print(text, end="", file=args.stdout, flush=True)))
    text = jobs.logs(args.job_id)
    if args.json:
        print_json({"job_id": args.job_id, "logs": text}, args)
    else:
        print(text, end="", file=args.stdout)
    return 0
