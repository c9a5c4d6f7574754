"""Room that ends: a small disk of a run's own (root alone can make one), and no further file that may be opened."""

import contextlib
import os
import resource
import subprocess
from pathlib import Path

ROOM = 1 << 28


@contextlib.contextmanager
def disk(folder, size):
    """A file system of so many bytes in a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def enlarge(folder):
    """As somebody who makes room."""
    subprocess.run(["mount", "-o", f"remount,size={ROOM}", str(folder)], check=True)


def is_root():
    """Whether this process may mount."""
    return os.geteuid() == 0


def used(folder):
    """Bytes below a folder, in whole pages, as tmpfs counts them."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(page + -(-file.stat().st_size // page) * page for file in Path(folder).rglob("*"))


def no_more_files(process):
    """The process may open no further file, connection or pipe."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    highest = max(int(file.name) for file in Path(f"/proc/{process.pid}/fd").iterdir())
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (highest + 1, hard))
