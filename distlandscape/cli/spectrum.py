"""``distlandscape spectrum``."""

from __future__ import annotations

import argparse

from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "spectrum",
        help="eigenpairs, density, trace and norm of a Hessian",
        description="Measure extreme eigenpairs with residuals, density, trace and Frobenius norm of the Hessian.",
        sections=("spectrum",),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    return run_study_command("spectrum", args, load_config(args.config, all_assignments(args)))
