"""``distlandscape up``."""

from __future__ import annotations

import argparse
import shlex
import sys

from distlandscape.cli.service import add_service_options, state_of
from distlandscape.cli.study import print_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "up",
        help="start a Ray head and an MLflow server on this machine",
        description="Start a Ray head with dashboard and an MLflow server, reachable from this machine alone.",
    )
    parser.add_argument("--cpus", metavar="N", type=int, help="CPUs Ray may give away (default: all)")
    parser.add_argument("--gpus", metavar="N", type=int, help="GPUs Ray may give away (default: all)")
    add_service_options(parser, address=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start, wait, print the two addresses."""
    from distlandscape.service.up import up

    state = state_of(args)
    if state.read() is None:
        print("starting Ray and MLflow, about 20 s …", file=sys.stderr, flush=True)
    services, new = up(state, args.cpus, args.gpus)
    if args.json:
        print_json(
            {"started": new, "ray": services.ray, "mlflow": services.mlflow, "state": str(state.folder)},
            args,
        )
        return 0
    lines = [
        "up" if new else "it runs already",
        f"Ray dashboard and jobs: {services.ray}",
        f"MLflow:                 {services.mlflow}",
        "for Ray's own commands: export RAY_AUTH_MODE=token"
        f" RAY_AUTH_TOKEN_PATH={shlex.quote(str(state.token))} RAY_API_SERVER_ADDRESS={services.ray}",
        "end both with:          distlandscape down",
    ]
    print("\n".join(lines), file=args.stdout)
    return 0
