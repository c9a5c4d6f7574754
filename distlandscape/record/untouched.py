"""Whether a run directory is as the run left it, before anyone goes on with it or sends it on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from distlandscape.errors import InputError
from distlandscape.record.config import config_digest, identity_digest
from distlandscape.record.run import Run


def require_files(folder: Path, shared: bool = False) -> None:
    """Raise InputError where a run directory holds anything but folders and files of its own.

    Through a link, what is written to the run, deleted in it or sent from it would be a file elsewhere; a pipe or a
    device never ends. The folder itself, and those above it, may be links.

    Args:
        folder: the run directory.
        shared: a file may have further names elsewhere (hard links): for who neither writes into it nor sends it.
    """
    for entry in _below(folder):
        found = entry.stat(follow_symlinks=False)
        kind = _kind(found.st_mode)
        if kind is None and stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and not shared:
            kind = "a file with a second name elsewhere (a hard link)"
        if kind is not None:
            raise InputError(
                f"{entry.path} is {kind}, which no run makes; remove it, or leave this run alone if you do not know who"
                " put it there"
            )


def require_untouched(run: Run) -> None:
    """Raise InputError unless a run is, for all that decides its numbers, as it was left.

    Looks at links (see ``require_files``), at the chain of the log, and by the digests in its first line at
    ``config.yaml`` and ``run.json``. Files that the log names are compared with their digests when they are read.
    A log that someone wrote anew as a whole, with all its hashes, cannot be told from the run's own.
    """
    require_files(run.path)
    events = run.log.events()
    if not events:
        raise InputError(f"the run {run.path} has no log (log.jsonl); start the study again")
    first = events[0]
    if first["event"] != "created":
        raise InputError(
            f"the run {run.path} was written by an edition before this one, whose log does not tell whether it was"
            " changed; start the study again, or resume it with that edition"
        )
    if first["config"] != config_digest(run.config):
        raise InputError(
            f"{run.path / 'config.yaml'} was changed after the run began; put it back (of its keys only tracking, and"
            " of runtime workers, transport, cpus_per_worker, gpus_per_worker and memory may change), or start a new"
            " run with what you changed"
        )
    ids = {event["run_id"] for event in (first, *run.log.events("adopted"))}
    if first["identity"] != identity_digest(run.identity) or run.run_id not in ids:
        raise InputError(f"{run.path / 'run.json'} was changed after the run began; put it back, or start a new run")


def _below(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _below(Path(entry.path))


def _kind(mode: int) -> str | None:
    """What a folder of a run must not hold, in words; None for folders and files."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return "a symbolic link" if stat.S_ISLNK(mode) else "a pipe, a socket or a device"
