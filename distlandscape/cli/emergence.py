"""``distlandscape emergence``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape.cli.study import add_study_options, all_assignments, figure_maker, finish, page_maker
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "emergence",
        help="the emergent properties: measured, predicted, with a verdict",
        description="Measure inputs and properties of Fort & Ganguli (2019) along training, beside the random model's.",
    )
    add_study_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    config = load_config(args.config, all_assignments(args))
    from distlandscape.studies.runner import run_study

    outcome = run_study("emergence", config, Path(args.out), page_maker(), figure_maker())
    finish(outcome, args)
    return 0 if outcome.converged else 3
