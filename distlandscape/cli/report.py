"""``distlandscape report``: make the figures and the page of a run directory anew, follow a run, or compare several."""

from __future__ import annotations

import argparse

from distlandscape.cli.follow import follow
from distlandscape.cli.study import add_json_option, print_json
from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.report import make_comparison, make_report


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its arguments."""
    parser = subparsers.add_parser(
        "report",
        help="make the figures and the page of a run directory anew, follow a run, or compare several",
        description="Draw what the run directory holds now, finished or not: figures/*.png and report.html. Two or more"
        " runs are laid over each other on one page, comparison.html, which begins with what differs. With --follow"
        " write nothing, but serve a page that shows the run as it goes on, to this machine only.",
    )
    parser.add_argument("run_dirs", metavar="RUN", nargs="+", help="run directory; two or more are compared")
    parser.add_argument(
        "--out", metavar="DIR", help="folder for figures and page (default: of one run its own, of several comparison)"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="serve the live page of one run until Ctrl-C")
    parser.add_argument("--port", metavar="N", type=int, help="port of the live page (default: a free one)")
    add_json_option(parser)
    parser.set_defaults(run=run, stdout=None)


def run(args: argparse.Namespace) -> int:
    """Make the report or the comparison and say where it is.

    Raises:
        InputError: a path is not a run directory, the runs have nothing in common, or options do not go together.
    """
    if args.follow:
        return follow(args)
    if args.port is not None:
        raise InputError("--port is of use to the live page only; add --follow, or leave it out")
    runs = [Run.open(path) for path in args.run_dirs]
    if len(runs) == 1:
        page, subject = make_report(runs[0].path, args.out), runs[0].path.name
        told: dict[str, object] = {"run_id": runs[0].run_id}
    else:
        page = make_comparison([run.path for run in runs], args.out or "comparison")
        told, subject = {"run_ids": [run.run_id for run in runs]}, f"{len(runs)} runs"
    if args.json:
        figures = [str(path) for path in sorted((page.parent / "figures").glob("*.png"))]
        print_json({**told, "report": str(page), "figures": figures}, args)
    else:
        print(f"the page of {subject} is {page}", file=args.stdout)
    return 0
