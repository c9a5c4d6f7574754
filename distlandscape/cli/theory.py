"""``distlandscape theory``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape.cli.study import add_study_options, all_assignments, figure_maker, finish, page_maker
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "theory",
        help="what the random model predicts, beside draws of it",
        description="Draw the random model of clustered logit gradients and show what is predicted of it.",
    )
    add_study_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw and predict."""
    config = load_config(args.config, all_assignments(args))
    from distlandscape.studies.runner import run_study

    finish(run_study("theory", config, Path(args.out), page_maker(), figure_maker()), args)
    return 0
