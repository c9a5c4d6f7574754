"""``distlandscape status``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from distlandscape.cli.service import add_service_options, job_document, job_line, jobs_of, state_of
from distlandscape.cli.study import print_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "status",
        help="what runs: the services, all jobs, or one job",
        description="Show the services and all jobs, or one job and the run it works on.",
    )
    parser.add_argument("job_id", metavar="ID", nargs="?", help="id of a job")
    add_service_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show one job, or everything.

    Raises:
        InputError: no such job, or no server answers.
    """
    if args.job_id is not None:
        return _one(args)
    services = state_of(args).read()
    alive = [] if services is None else services.alive
    jobs = jobs_of(args).all() if args.address or "ray" in alive else []
    if args.json:
        addresses = {"ray": services.ray, "mlflow": services.mlflow} if services is not None else {}
        print_json({"alive": alive, **addresses, "jobs": [asdict(job) for job in jobs]}, args)
        return 0
    if services is None or not alive:
        print("nothing is up; start with: distlandscape up", file=args.stdout)
    else:
        for name, address in (("ray", services.ray), ("mlflow", services.mlflow)):
            print(f"{name:<7} {address if name in alive else 'has ended: distlandscape up'}", file=args.stdout)
    for job in jobs:
        print(job_line(job), file=args.stdout)
    return 0


def _one(args: argparse.Namespace) -> int:
    job = jobs_of(args).status(args.job_id)
    document = job_document(job)
    if args.json:
        print_json(document, args)
        return 0
    print(job_line(job), file=args.stdout)
    if document["run_dir"] is not None:
        print(f"run {document['run_id']} ({document['run_status']}): {document['run_dir']}", file=args.stdout)
    if job.message:
        print(job.message, file=args.stdout)
    return 0
