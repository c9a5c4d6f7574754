"""``distlandscape goldilocks``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from distlandscape.cli.study import add_study_options, all_assignments, figure_maker, finish, page_maker
from distlandscape.config import load_config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "goldilocks",
        help="curvature at random points against their radius, and where trainings in planes succeed",
        description="Measure Tr H/‖H‖_F and the share of positive curvature in random planes, at random points of"
        " different radius, and train in planes from there. With --point, say where given weights stand.",
    )
    add_study_options(parser)
    parser.add_argument("--point", metavar="WEIGHTS", help="weights whose place is asked for; nothing is trained")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and train."""
    point = []
    if args.point is not None:  # absolute, since a resume may come from elsewhere; JSON is YAML whatever the name holds
        point = [f"goldilocks.point={json.dumps(str(Path(args.point).absolute()))}"]
    config = load_config(args.config, [*all_assignments(args), *point])
    from distlandscape.studies.runner import run_study

    finish(run_study("goldilocks", config, Path(args.out), page_maker(), figure_maker()), args)
    return 0
