"""``distlandscape report --follow``: serve the live page of a run."""

from __future__ import annotations

import argparse
import contextlib

from distlandscape.errors import InputError
from distlandscape.output import below, line


def follow(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C, and say where the run directory is.

    Raises:
        InputError: not one run directory, a port that cannot be had, --out, or --json, which prints one document.
    """
    if len(args.run_dirs) > 1:
        raise InputError("--follow shows one run at a time; name one, or leave out --follow to compare several")
    if args.out is not None:
        raise InputError("--follow writes nothing; leave out --out")
    if args.json:
        raise InputError("--json prints one document, so it cannot follow; leave out --follow")
    from distlandscape.report.live.server import LiveServer
    from distlandscape.report.live.state import Follower

    follower = Follower(args.run_dirs[0])
    with LiveServer(follower, args.port or 0) as server:
        # The token is for whoever reads this terminal, so the address goes around what hides secrets.
        print(f"live page of {line(follower.path.name)}: {server.url}", file=below(args.stdout))
        print("the token in the address is its password; end with Ctrl-C", file=args.stdout, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    print(f"the run directory is {follower.path}", file=args.stdout)
    return 0
