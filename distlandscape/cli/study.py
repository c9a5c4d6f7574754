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
from distlandscape.config_text import read_mapping
from distlandscape.errors import InputError

if TYPE_CHECKING:
    from distlandscape.studies.execute import Outcome

STUDIES = ("train", "spectrum", "emergence", "clustering", "hierarchy", "hyperplane", "goldilocks", "theory")
# Sections of a configuration that are one study's own.
SECTIONS = ("spectrum", "emergence", "hierarchy", "hyperplane", "goldilocks", "theory")


def add_study_argument(parser: argparse.ArgumentParser) -> None:
    """``STUDY``, of commands that serve all of them."""
    parser.add_argument("study", metavar="STUDY", help=", ".join(STUDIES))


def check_study(study: str, file: str | None) -> None:
    """Refuse what is no study, and a file that was written for another: with its section and none of this one's.

    Raises:
        InputError: either.
    """
    if study not in STUDIES:
        raise InputError(f"{study!r} is no study; name one of {', '.join(STUDIES)}")
    found = [] if file is None else [section for section in SECTIONS if section in read_mapping(Path(file))]
    if study != "train" and found and study not in found:
        raise InputError(
            f"{file} is a configuration of the study {found[0]}, not of {study}; name {found[0]}, or give another"
            " --config"
        )


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """The options all studies take."""
    add_config_options(parser)
    parser.add_argument("--out", metavar="DIR", default="results", help="folder for run directories (results)")
    parser.add_argument("--workers", metavar="N", type=int, help="Ray workers; 0 computes in the study's own process")
    parser.add_argument("--gpus-per-worker", metavar="G", type=float, help="GPUs of a worker; 0: it computes on cores")
    parser.add_argument("--transport", metavar="NAME", help="where vectors live: store (driver), collective (workers)")
    add_json_option(parser)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """``--config`` and ``--set``."""
    parser.add_argument("--config", metavar="FILE", help="YAML file with the configuration")
    parser.add_argument(
        "--set", metavar="A.B=VALUE", action="append", default=[], dest="assignments", help="set one key; repeatable"
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def all_assignments(args: argparse.Namespace) -> list[str]:
    """``--set`` in order, then the options that are short for a key."""
    names = ("workers", "gpus_per_worker", "transport")
    extra = [f"runtime.{name}={value}" for name in names if (value := getattr(args, name)) is not None]
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
