"""What every study command shares: its options, and how it ends."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from distlandscape.cli.summary import summary_lines

if TYPE_CHECKING:
    from distlandscape.studies.execute import Outcome


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """The options of DESIGN's public surface that all studies take."""
    parser.add_argument("--config", metavar="FILE", help="YAML file with the configuration")
    parser.add_argument(
        "--set", metavar="A.B=VALUE", action="append", default=[], dest="assignments", help="set one key; repeatable"
    )
    parser.add_argument("--out", metavar="DIR", default="results", help="folder for run directories (results)")
    parser.add_argument("--workers", metavar="N", type=int, help="Ray workers; 0 computes in this process")
    parser.add_argument("--transport", metavar="NAME", help="where vectors live: store (driver), collective (workers)")
    add_json_option(parser)


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def all_assignments(args: argparse.Namespace) -> list[str]:
    """``--set`` in order, then the options that are short for a key."""
    extra = [
        f"runtime.{name}={value}"
        for name, value in (("workers", args.workers), ("transport", args.transport))
        if value is not None
    ]
    return [*args.assignments, *extra]


def finish(outcome: Outcome, args: argparse.Namespace) -> None:
    """Print the result: JSON, or a short table and where everything is."""
    if args.json:
        print(json.dumps(outcome.result, allow_nan=False), file=args.stdout, flush=True)
        return
    for line in [
        *summary_lines(outcome.run.study, outcome.result),
        "",
        f"open MLflow:  {_runnable(outcome.open_mlflow)}",
    ]:
        print(line, file=args.stdout, flush=True)


def _runnable(command: str) -> str:
    """The command with mlflow's full path where the environment of this process is not the shell's."""
    program, _, rest = command.partition(" ")
    beside = Path(sys.executable).parent / program
    return f"{shlex.quote(str(beside))} {rest}" if not shutil.which(program) and beside.exists() else command


def page_maker() -> Callable[[Path], Path]:
    """The report's entry point, imported when it is needed."""
    from distlandscape.report import make_report

    return make_report


def figure_maker() -> Callable[[Path], dict[str, bytes]]:
    """Draws what of a run is under way."""
    from distlandscape.report.live.images import images_so_far

    return images_so_far
