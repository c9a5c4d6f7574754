"""``distlandscape runs``."""

from __future__ import annotations

import argparse
from pathlib import Path

from distlandscape.cli.service import add_service_options, state_of
from distlandscape.cli.study import add_out_option, print_json
from distlandscape.display import counted
from distlandscape.output import visible

COLUMNS = ("started", "study", "model", "data", "lambda_max", "status", "job_id", "run_id")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "runs",
        help="a table of runs, from MLflow",
        description="List runs as MLflow holds them: study, model, data, largest eigenvalue, status; newest first.",
    )
    parser.add_argument(
        "--uri",
        metavar="URI",
        help="tracking server (default: the one up started, else $MLFLOW_TRACKING_URI, else mlflow.db in --out)",
    )
    add_out_option(parser)
    parser.add_argument(
        "--experiment", metavar="NAME", default="distlandscape", help="MLflow's experiment (default: distlandscape)"
    )
    parser.add_argument("--limit", metavar="N", type=int, default=50, help="at most so many runs (default: 50)")
    add_service_options(parser, address=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table.

    Raises:
        InputError: no tracking server answers, there is no database, or no such experiment.
    """
    from distlandscape.record.mlflow_client import tracking_uri
    from distlandscape.record.mlflow_runs import COUNTED, list_runs

    services = state_of(args).read()
    uri = args.uri
    if uri is None and services is not None and "mlflow" in services.alive:
        uri = services.mlflow
    rows, more = list_runs(tracking_uri(uri, Path(args.out)), args.experiment, args.limit)
    if args.json:
        print_json({"runs": rows, "not_shown": more}, args)
        return 0
    table = [list(COLUMNS), *([_text(row[column]) for column in COLUMNS] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), file=args.stdout)
    if more:
        least = "at least " if more == COUNTED else ""
        print(f"{least}{counted(more, 'older run')} not shown; raise --limit", file=args.stdout)
    return 0


def _text(value: object) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return visible(text, keep="")[:60]
