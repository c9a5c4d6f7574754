"""``distlandscape goldilocks``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from distlandscape.cli.study import add_study_parser, all_assignments, run_study_command
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = add_study_parser(
        subparsers,
        "goldilocks",
        help="curvature at random points against their radius, and where trainings in planes succeed",
        description="Measure Tr H/‖H‖_F and the share of positive curvature in random planes, at random points of"
        " different radius, and train in planes from there. With --point, say where given weights stand.",
        sections=("goldilocks",),
    )
    parser.add_argument("--point", metavar="FILE", help="weights file whose place is asked for; nothing is trained")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and train."""
    point = []
    if args.point is not None:  # absolute, since a resume may come from elsewhere; JSON is YAML whatever the name holds
        point = [f"goldilocks.point={json.dumps(str(Path(args.point).absolute()))}"]
    return run_study_command("goldilocks", args, load_config(args.config, [*all_assignments(args), *point]))
