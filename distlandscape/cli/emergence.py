"""``distlandscape emergence``."""

from __future__ import annotations

import argparse

from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "emergence",
        help="the emergent properties: measured, predicted, with a verdict",
        description="Measure inputs and properties of Fort & Ganguli (2019) along training, beside the random model's.",
        sections=("emergence",),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    return run_study_command("emergence", args, load_config(args.config, all_assignments(args)))
