"""``distlandscape clustering``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape.cli.study import add_study_options, all_assignments, figure_maker, finish, page_maker
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "clustering",
        help="how logit gradients cluster, and how frozen the softmax is",
        description="Measure cosines and lengths of logit gradients by logit and class, and how frozen the softmax is.",
    )
    add_study_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    config = load_config(args.config, all_assignments(args))
    from distlandscape.studies.runner import run_study

    finish(run_study("clustering", config, Path(args.out), page_maker(), figure_maker()), args)
    return 0
