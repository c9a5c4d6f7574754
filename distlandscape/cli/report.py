"""``distlandscape report``: make the figures and the page of a run directory anew."""

from __future__ import annotations

import argparse
import json

from distlandscape.record.run import Run
from distlandscape.report import make_report


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its arguments."""
    parser = subparsers.add_parser(
        "report",
        help="make the figures and the page of a run directory anew",
        description="Draw what the run directory holds now, finished or not: figures/*.png and report.html.",
    )
    parser.add_argument("run_dir", metavar="RUN", help="run directory")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(run=run, stdout=None)


def run(args: argparse.Namespace) -> int:
    """Make the report and say where it is.

    Raises:
        InputError: ``args.run_dir`` is not a run directory.
    """
    directory = Run.open(args.run_dir)
    page = make_report(directory.path)
    if args.json:
        figures = [str(path) for path in sorted((directory.path / "figures").glob("*.png"))]
        print(json.dumps({"run_id": directory.run_id, "report": str(page), "figures": figures}), file=args.stdout)
    else:
        print(f"the page of {directory.path.name} is {page}", file=args.stdout)
    return 0
