"""``distlandscape train``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape.cli.study import add_study_options, all_assignments, figure_maker, finish, page_maker
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "train",
        help="train a model and keep its weights along the way",
        description="Train a model, keep its weights along the way, and say how good they are on all samples.",
    )
    add_study_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train and evaluate."""
    config = load_config(args.config, all_assignments(args))
    from distlandscape.studies.runner import run_study

    finish(run_study("train", config, Path(args.out), page_maker(), figure_maker()), args)
    return 0
