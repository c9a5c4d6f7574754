"""``distlandscape clustering``."""

from __future__ import annotations

import argparse

from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "clustering",
        help="how logit gradients cluster, and how frozen the softmax is",
        description="Measure cosines and lengths of logit gradients by logit and class, and how frozen the softmax is.",
        sections=("train",),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    return run_study_command("clustering", args, load_config(args.config, all_assignments(args)))
