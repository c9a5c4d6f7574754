"""``distlandscape train``."""

from __future__ import annotations

import argparse

from distlandscape.cli.key_help import SHARED
from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "train",
        help="train a model and keep its weights along the way",
        description="Train a model, keep its weights along the way, and say how good they are on all samples.",
        sections=SHARED,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train and evaluate."""
    return run_study_command("train", args, load_config(args.config, all_assignments(args)))
