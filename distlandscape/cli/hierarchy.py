"""``distlandscape hierarchy``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape.cli.study import add_study_options, all_assignments, figure_maker, finish, page_maker
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "hierarchy",
        help="which class each outlier of the Hessian belongs to",
        description="Measure the class structure of the Gauss-Newton term, and give the Hessian's outliers to classes.",
    )
    add_study_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; 3 when a requested tolerance was not reached."""
    config = load_config(args.config, all_assignments(args))
    from distlandscape.studies.runner import run_study

    outcome = run_study("hierarchy", config, Path(args.out), page_maker(), figure_maker())
    finish(outcome, args)
    return 0 if outcome.converged else 3
