"""``python -m tests.faults.clock FLAG ARGUMENT…``: the command line, where it is an hour earlier once FLAG exists."""

import os
import sys
import time

HOUR = 3600.0


def through(flag):
    """The program to be given the arguments of the command line."""
    return [sys.executable, "-m", "tests.faults.clock", str(flag)]


def set_back(flag):
    """From the moment a file is there; clocks that only go forwards are left alone."""
    plain = time.time
    time.time = lambda: plain() - (HOUR if os.path.exists(flag) else 0.0)  # noqa: PTH110


if __name__ == "__main__":
    set_back(sys.argv[1])
    from distlandscape.cli.main import main

    sys.exit(main(sys.argv[2:]))
