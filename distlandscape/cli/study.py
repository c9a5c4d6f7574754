"""What every study command shares: its options, how it runs, and how it ends."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distlandscape import stopping
from distlandscape.cli.key_help import HelpWithKeys, told_keys
from distlandscape.cli.summary import summary_lines
from distlandscape.config import RunConfig, read_mapping
from distlandscape.errors import InputError
from distlandscape.output import below
from distlandscape.redaction import redacted

if TYPE_CHECKING:
    from distlandscape.studies.execute import Outcome

RESULTS = "results"  # folder for run directories where none is named
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


def add_study_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    *,
    help: str,
    description: str,
    sections: Sequence[str],
) -> argparse.ArgumentParser:
    """A study command with the options that all studies take; its help ends with the keys of some sections."""
    parser = subparsers.add_parser(
        name, help=help, description=description, formatter_class=HelpWithKeys, epilog=told_keys(sections)
    )
    add_study_options(parser, "in this process")
    return parser


def add_study_options(parser: argparse.ArgumentParser, alone: str) -> None:
    """The options all studies take; ``alone`` says where 0 workers compute."""
    add_config_options(parser)
    add_out_option(parser)
    parser.add_argument("--workers", metavar="N", type=int, help=f"Ray workers; 0: {alone} (default: runtime.workers)")
    parser.add_argument(
        "--gpus-per-worker",
        metavar="G",
        type=float,
        help="GPUs of a worker; 0: it computes on cores (default: runtime.gpus_per_worker)",
    )
    parser.add_argument(
        "--transport",
        metavar="NAME",
        help="where vectors live: store (driver) or collective (workers) (default: runtime.transport)",
    )
    add_json_option(parser)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """``--config`` and ``--set``."""
    parser.add_argument("--config", metavar="FILE", help="YAML file with the configuration")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="assignments",
        help="set one key, such as spectrum.k=20; repeatable",
    )


def add_out_option(parser: argparse.ArgumentParser) -> None:
    """``--out``, the folder of all runs."""
    parser.add_argument(
        "--out", metavar="DIR", default=RESULTS, help=f"folder for run directories (default: {RESULTS})"
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def print_json(document: dict[str, Any], args: argparse.Namespace) -> None:
    """One JSON document, its texts without secrets; JSON writes control characters out by itself."""
    print(json.dumps(redacted(document), allow_nan=False), file=below(args.stdout), flush=True)


def all_assignments(args: argparse.Namespace) -> list[str]:
    """``--set`` in order, then the options that are short for a key."""
    names = ("workers", "gpus_per_worker", "transport")
    extra = [f"runtime.{name}={value}" for name in names if (value := getattr(args, name)) is not None]
    return [*args.assignments, *extra]


def run_study_command(study: str, args: argparse.Namespace, config: RunConfig) -> int:
    """Measure, and print the result; 3 when a requested tolerance was not reached."""
    with stopping.listening():
        from distlandscape.studies.runner import run_study

        outcome = run_study(study, config, Path(args.out), page_maker(), figure_maker())
        finish(outcome, args)
    return 0 if outcome.converged else 3


def finish(outcome: Outcome, args: argparse.Namespace) -> None:
    """Print the result: JSON, or a short table and where everything is."""
    if args.json:
        print_json(outcome.result, args)
        return
    for line in [
        *summary_lines(outcome.run.study, outcome.result),
        "",
        f"open MLflow:   {_runnable(outcome.open_mlflow)}",
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
