"""Another user of the machine: tries everything on what lies below some folders, and prints what it could do.

Run as root, which names what is there; then it is nobody for good.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import sys
from pathlib import Path

NOBODY = 65534


def main(roots, pids):
    found = [path for root in roots for path in (Path(root), *sorted(Path(root).rglob("*")))]
    kinds = [(path, path.lstat().st_mode) for path in found]
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    done = [f"{what} {path}" for path, mode in kinds for what in tried(path, mode)]
    done += [f"{what} of process {pid}" for pid in pids for what in in_process(pid)]
    counts = {"folders": stat.S_ISDIR, "files": stat.S_ISREG, "sockets": stat.S_ISSOCK}
    told = {name: sum(kind(mode) for _, mode in kinds) for name, kind in counts.items()}
    return {"uid": os.getuid(), "done": done, **told}


def tried(path, mode):
    """What could be done to one path."""
    attempts = {"replace": lambda: replace(path)}
    if stat.S_ISDIR(mode):
        attempts["list"] = lambda: list(path.iterdir())
        attempts["create in"] = lambda: (path / "intruder").write_text("mine")
        attempts["enter"] = lambda: os.chdir(path)
    if stat.S_ISREG(mode):
        attempts["read"] = lambda: path.open("rb").close()
        attempts["write"] = lambda: path.open("r+b").close()
    if stat.S_ISSOCK(mode):
        attempts["connect to"] = lambda: connect(path)
    return [name for name, attempt in attempts.items() if succeeds(attempt)]


def in_process(pid):
    """What could be had by way of /proc."""
    attempts = {
        "environment": lambda: Path(f"/proc/{pid}/environ").read_bytes(),
        "files": lambda: list(Path(f"/proc/{pid}/fd").iterdir()),
        "working directory": lambda: list(Path(f"/proc/{pid}/cwd/").iterdir()),
        "memory": lambda: Path(f"/proc/{pid}/mem").open("rb").close(),
    }
    return [name for name, attempt in attempts.items() if succeeds(attempt)]


def succeeds(attempt):
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        attempt()
        return True
    return False


def replace(path):
    """Put a link of one's own in its place, and the thing back."""
    moved = path.with_name(f"{path.name}.moved")
    path.rename(moved)
    path.symlink_to(moved)
    path.unlink()
    moved.rename(path)


def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(path))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*json.loads(sys.argv[1]))))
