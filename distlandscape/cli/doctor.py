"""``distlandscape doctor``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from distlandscape.cli.service import add_service_options, state_of
from distlandscape.cli.study import add_out_option, print_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="look for what could go wrong on this machine",
        description="Look at versions, cores, GPUs, memory, disk, tokens, services and sockets; exit code 1 where"
        " one is wrong.",
    )
    add_out_option(parser)
    add_service_options(parser, address=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found."""
    from distlandscape.service.doctor import ERROR, examine

    lines = examine(state_of(args), Path(args.out))
    if args.json:
        print_json({"lines": [asdict(line) for line in lines]}, args)
    else:
        for line in lines:
            remedy = f" → {line.remedy}" if line.remedy else ""
            print(f"{line.level:<8} {line.name:<16} {line.text}{remedy}", file=args.stdout)
    return 1 if any(line.level == ERROR for line in lines) else 0
