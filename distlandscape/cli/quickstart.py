"""``distlandscape quickstart``: the spectrum study with settings that show everything in two minutes."""

from __future__ import annotations

import argparse

from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config

SETTINGS = (
    "model.options={hidden: [32]}",
    "train.steps=400",
    "train.checkpoints=6",
    "spectrum.k=20",
    "spectrum.lowest=5",
    "runtime.workers=2",
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "quickstart",
        help="train a small network on handwritten digits and measure its Hessian",
        description="Train a small network on handwritten digits and measure its Hessian along training.",
        sections=("spectrum",),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure; the status is shown, a tolerance not reached is no failure here."""
    config = load_config(args.config, [*SETTINGS, *all_assignments(args)])
    run_study_command("quickstart", args, config)
    return 0
