"""``distlandscape hyperplane``."""

from __future__ import annotations

import argparse
import re

from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config
from distlandscape.errors import InputError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "hyperplane",
        help="train in random planes of weight space and find the dimension that is enough",
        description="Train in random planes of weight space, over dimension and seeds; find the dimension in which"
        " training reaches 90 % of its accuracy in full space.",
        sections=("hyperplane",),
    )
    parser.add_argument(
        "--budget",
        metavar="N",
        help="at most N trainings, as in 200, or N minutes, as in 30m"
        " (default: hyperplane.budget_trainings, hyperplane.budget_minutes)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train in planes; 3 where the dimension was not found."""
    config = load_config(args.config, [*all_assignments(args), *_budget(args.budget)])
    return run_study_command("hyperplane", args, config)


def _budget(text: str | None) -> list[str]:
    if text is None:
        return []
    if re.fullmatch(r"\d+", text):
        return [f"hyperplane.budget_trainings={text}"]
    if re.fullmatch(r"\d+(\.\d+)?m", text):
        return [f"hyperplane.budget_minutes={text[:-1]}"]
    raise InputError(f"--budget {text!r} is neither a number of trainings nor minutes; give, for example, 200 or 30m")
