"""The command line a job runs, and its id."""

from __future__ import annotations

import shlex
import sys
import time
import uuid
from collections.abc import Sequence

PROGRAM = ("-m", "distlandscape.cli.main")


def new_id(study: str) -> str:
    """A readable submission id of its own: study, time, four random digits."""
    return f"{study}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"


def entrypoint(arguments: Sequence[str], local: bool) -> str:
    """The distlandscape command with these arguments, quoted for a shell.

    On this machine it is this environment's Python; elsewhere whatever ``python`` is in the cluster's image.
    """
    return shlex.join([sys.executable if local else "python", *PROGRAM, *arguments])
