"""``distlandscape theory``."""

from __future__ import annotations

import argparse

from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "theory",
        help="what the random model predicts, beside draws of it",
        description="Draw the random model of clustered logit gradients and show what is predicted of it.",
        sections=("theory",),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw and predict."""
    return run_study_command("theory", args, load_config(args.config, all_assignments(args)))
