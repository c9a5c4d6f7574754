"""``distlandscape stop``."""

from __future__ import annotations

import argparse

from distlandscape.cli.service import add_service_options, job_document, jobs_of
from distlandscape.cli.study import print_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "stop",
        help="stop a job; its run can be resumed",
        description="Ask a job to end and wait until it has; its run is marked as interrupted and can be resumed.",
    )
    parser.add_argument("job_id", metavar="ID", help="id of a job")
    add_service_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Stop; 1 where the job goes on all the same.

    Raises:
        InputError: no such job, it is over, or no server answers.
    """
    job = jobs_of(args).stop(args.job_id)
    document = job_document(job)
    if args.json:
        print_json(document, args)
    elif document["run_status"] in ("done", "unconverged"):
        print(f"{job.job_id} {job.status}; its run had just ended: {document['run_dir']}", file=args.stdout)
    else:
        print(f"{job.job_id} {job.status}; go on with: distlandscape resume {job.job_id}", file=args.stdout)
    return 0 if job.ended else 1
