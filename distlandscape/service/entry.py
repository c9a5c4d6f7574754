"""The command line a job runs, and its id."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence

PROGRAM = ("-m", "distlandscape.cli.main")
FIND = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


def new_id(study: str) -> str:
    """A readable submission id of its own: study, time, four random digits."""
    return f"{study}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"


def entrypoint(arguments: Sequence[str], local: bool) -> str:
    """The distlandscape command with these arguments, quoted for a shell.

    On this machine it is this environment's Python; elsewhere whatever ``python`` is in the cluster's image.
    """
    return shlex.join([sys.executable if local else "python", *PROGRAM, *arguments])


def is_importable(module: str, environment: Mapping[str, str]) -> bool:
    """Whether a job of this machine finds a module: this Python, a folder of its own, the environment of its head."""
    package = module.partition(".")[0]
    with tempfile.TemporaryDirectory(prefix="dl-find-") as folder:
        command = [sys.executable, "-c", FIND, package]
        done = subprocess.run(command, cwd=folder, env=dict(environment), stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0
