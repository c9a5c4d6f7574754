"""``distlandscape plan``."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict

from distlandscape.cli.study import add_config_options, add_json_option, add_study_argument, check_study, print_json
from distlandscape.config import load_config
from distlandscape.errors import InputError

GB, MB = 2**30, 2**20
# Heading, unit and digits of what a plan says.
COLUMNS = {
    "workers": ("workers", 1, 0),
    "pass_seconds": ("pass, s", 1, 3),
    "total_seconds": ("study, s", 1, 0),
    "worker_bytes": ("GB/worker", GB, 2),
    "driver_bytes": ("GB/driver", GB, 2),
    "moved_bytes": ("MB moved", MB, 1),
    "disk_bytes": ("GB disk", GB, 2),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "plan",
        help="what a study will take, before it runs",
        description="Time what a study consists of in small, and say what it will take on so many workers: time,"
        " memory, disk, bytes moved (in a pass; in a sweep once). Workers beyond this machine's cores are taken to have"
        " a machine like it each.",
    )
    add_study_argument(parser)
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
        InputError: wrong configuration, or counts that are no numbers.
    """
    if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", args.counts):
        raise InputError(f"--counts {args.counts[:40]!r} is no list of numbers of workers; give one such as 1,2,4,8")
    check_study(args.study, args.config)
    config = load_config(args.config, args.assignments)
    from distlandscape.studies.plan import plan_study

    counts = [int(count) for count in args.counts.split(",")]
    costs, plans, passes = plan_study(args.study, config, counts, args.network_gbit)
    if args.json:
        print_json({"passes": passes, "costs": asdict(costs), "plans": [asdict(plan) for plan in plans]}, args)
        return 0
    for line in costs.described(passes):
        print(line, file=args.stdout)
    names = [name for name in COLUMNS if hasattr(plans[0], name)]
    print("  ".join(f"{COLUMNS[name][0]:>13}" for name in names), file=args.stdout)
    for plan in plans:
        cells = ((getattr(plan, name) / COLUMNS[name][1], COLUMNS[name][2]) for name in names)
        print("  ".join(f"{value:13.{digits}f}" for value, digits in cells), file=args.stdout)
    return 0
