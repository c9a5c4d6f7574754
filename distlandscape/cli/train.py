"""``distlandscape train``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape.cli.study import add_study_options, all_assignments, finish, page_maker
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "train",
        help="train a network and keep its weights along the way",
        description="Train a network, keep its weights at steps spaced evenly in log(step), and evaluate them.",
    )
    add_study_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; resumable."""
    config = load_config(args.config, all_assignments(args))
    from distlandscape.studies.runner import run_study

    finish(run_study("train", config, Path(args.out), page_maker()), args)
    return 0
