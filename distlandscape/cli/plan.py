"""``distlandscape plan``."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict

from distlandscape.cli.service import print_json
from distlandscape.cli.study import add_config_options, add_json_option
from distlandscape.config import load_config
from distlandscape.errors import InputError

GB = 2**30


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "plan",
        help="what a study will take, before it runs",
        description="Time products on one block of the data, and say what a study will take on so many workers: time,"
        " memory, disk, bytes moved. Workers beyond this machine's cores are taken to have a machine like it each.",
    )
    parser.add_argument("--study", metavar="STUDY", default="spectrum", help="which study (spectrum)")
    add_config_options(parser)
    parser.add_argument(
        "--counts", metavar="N,N,…", default="1,2,4,8,16,32,64", help="numbers of workers (default: 1,2,4,8,16,32,64)"
    )
    parser.add_argument(
        "--network-gbit",
        metavar="G",
        type=float,
        default=10.0,
        help="speed of a machine's network in Gbit/s (default: 10)",
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print a table.

    Raises:
        InputError: wrong configuration, counts that are no numbers, or a study without passes.
    """
    if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", args.counts):
        raise InputError(f"--counts {args.counts[:40]!r} is no list of numbers of workers; give one such as 1,2,4,8")
    config = load_config(args.config, args.assignments)
    from distlandscape.studies.plan import plan_study

    counts = [int(count) for count in args.counts.split(",")]
    costs, plans, passes = plan_study(args.study, config, counts, args.network_gbit)
    if args.json:
        print_json({"passes": passes, "costs": asdict(costs), "plans": [asdict(plan) for plan in plans]}, args)
        return 0
    print(
        f"{costs.parameters:,} parameters, {costs.blocks} blocks of {costs.block_seconds:.4g} s a product; roughly"
        f" {passes:.0f} passes; training is not counted",
        file=args.stdout,
    )
    print("workers    pass, s   study, s  GB/worker  GB/driver  MB moved/pass    GB disk", file=args.stdout)
    for plan in plans:
        print(
            f"{plan.workers:7d} {plan.pass_seconds:10.3f} {plan.total_seconds:10.0f} {plan.worker_bytes / GB:10.2f}"
            f" {plan.driver_bytes / GB:10.2f} {plan.moved_bytes / 2**20:14.1f} {plan.disk_bytes / GB:10.2f}",
            file=args.stdout,
        )
    return 0
