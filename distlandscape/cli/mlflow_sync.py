"""``distlandscape mlflow-sync``: bring MLflow up to date with a run directory."""

from __future__ import annotations

import argparse

from distlandscape.cli.study import add_json_option, print_json
from distlandscape.record.maker import require_own_server
from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.run import Run
from distlandscape.record.untouched import require_files
from distlandscape.redaction import redact_address


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its arguments."""
    parser = subparsers.add_parser(
        "mlflow-sync",
        help="bring MLflow up to date with a run directory",
        description="Send to MLflow whatever the run directory holds and MLflow does not; safe to repeat.",
    )
    parser.add_argument("run_dir", metavar="RUN", help="run directory")
    parser.add_argument(
        "--uri",
        metavar="URI",
        help="tracking server (default: tracking.uri of the run, else $MLFLOW_TRACKING_URI, else mlflow.db beside it)",
    )
    parser.add_argument(
        "--experiment", metavar="NAME", help="MLflow's experiment (default: tracking.experiment of the run)"
    )
    add_json_option(parser)
    parser.set_defaults(run=run, stdout=None)


def run(args: argparse.Namespace) -> int:
    """Sync once; 0 when MLflow is up to date, 1 when the tracking server is away.

    Raises:
        InputError: ``args.run_dir`` is not a run directory, has links in it, or names a server that this user did not.
    """
    directory = Run.open(args.run_dir)
    require_files(directory.path)
    if args.uri is None:
        require_own_server(directory)
    tracking = directory.config.get("tracking") or {}
    experiment = args.experiment or tracking.get("experiment") or "distlandscape"
    mirror = MlflowMirror(directory, args.uri or tracking.get("uri"), experiment)
    in_sync = mirror.push(final=True)
    if args.json:
        document = {
            "run_id": directory.run_id,
            "in_sync": in_sync,
            "uri": redact_address(mirror.uri),
            "mlflow_run_id": mirror.run_id,
            "open": mirror.url_hint,
        }
        print_json(document, args)
    elif in_sync:
        print(f"{directory.path.name} is in MLflow as run {mirror.run_id}", file=args.stdout)
        print(f"open it with: {mirror.url_hint}", file=args.stdout)
    return 0 if in_sync else 1
