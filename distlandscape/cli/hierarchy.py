"""``distlandscape hierarchy``."""

from __future__ import annotations

import argparse

from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "hierarchy",
        help="which class each outlier of the Hessian belongs to",
        description="Measure the class structure of the Gauss-Newton term, and give the Hessian's outliers to classes.",
        sections=("hierarchy",),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    return run_study_command("hierarchy", args, load_config(args.config, all_assignments(args)))
