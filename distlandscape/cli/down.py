"""``distlandscape down``."""

from __future__ import annotations

import argparse

from distlandscape.cli.service import add_service_options, state_of
from distlandscape.cli.study import print_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "down",
        help="end what up started",
        description="End the Ray head and the MLflow server that up started, and nothing else; jobs are marked first.",
    )
    add_service_options(parser, address=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """End them.

    Raises:
        InputError: nothing is up.
    """
    from distlandscape.service.up import down

    ran = down(state_of(args))
    if args.json:
        print_json({"ended": ran}, args)
    else:
        print(f"ended {' and '.join(ran)}" if ran else "they had ended before; cleaned up", file=args.stdout)
    return 0
