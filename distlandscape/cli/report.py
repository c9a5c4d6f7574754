"""``distlandscape report``: make the figures and the page of a run directory anew."""

from __future__ import annotations

import argparse
import json

from distlandscape.cli.follow import follow
from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.report import make_report


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its arguments."""
    parser = subparsers.add_parser(
        "report",
        help="make the figures and the page of a run directory anew, or follow a run",
        description="Draw what the run directory holds now, finished or not: figures/*.png and report.html. With"
        " --follow write nothing, but serve a page that shows the run as it goes on, to this machine only.",
    )
    parser.add_argument("run_dir", metavar="RUN", help="run directory")
    parser.add_argument("-f", "--follow", action="store_true", help="serve a live page until Ctrl-C")
    parser.add_argument("--port", metavar="N", type=int, help="port of the live page (a free one)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(run=run, stdout=None)


def run(args: argparse.Namespace) -> int:
    """Make the report and say where it is.

    Raises:
        InputError: ``args.run_dir`` is not a run directory, or options do not go together.
    """
    if args.follow:
        return follow(args)
    if args.port is not None:
        raise InputError("--port is that of the live page; add --follow")
    directory = Run.open(args.run_dir)
    page = make_report(directory.path)
    if args.json:
        figures = [str(path) for path in sorted((directory.path / "figures").glob("*.png"))]
        print(json.dumps({"run_id": directory.run_id, "report": str(page), "figures": figures}), file=args.stdout)
    else:
        print(f"the page of {directory.path.name} is {page}", file=args.stdout)
    return 0
