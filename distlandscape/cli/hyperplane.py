"""``distlandscape hyperplane``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from distlandscape.cli.study import add_study_options, all_assignments, figure_maker, finish, page_maker
from distlandscape.config import load_config
from distlandscape.errors import InputError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "hyperplane",
        help="train in random planes of weight space and find the dimension that is enough",
        description="Train in random planes of weight space, over dimension and seeds; find the dimension in which"
        " training reaches 90 % of its accuracy in full space.",
    )
    add_study_options(parser)
    parser.add_argument("--budget", metavar="N", help="so many trainings, or minutes as in 30m, at most")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train in planes; 3 where the dimension was not found."""
    config = load_config(args.config, [*all_assignments(args), *_budget(args.budget)])
    from distlandscape.studies.runner import run_study

    outcome = run_study("hyperplane", config, Path(args.out), page_maker(), figure_maker())
    finish(outcome, args)
    return 0 if outcome.converged else 3


def _budget(text: str | None) -> list[str]:
    if text is None:
        return []
    if re.fullmatch(r"\d+", text):
        return [f"hyperplane.budget_trainings={text}"]
    if re.fullmatch(r"\d+(\.\d+)?m", text):
        return [f"hyperplane.budget_minutes={text[:-1]}"]
    raise InputError(f"--budget {text!r} is neither a number of trainings, such as 200, nor minutes, such as 30m")
