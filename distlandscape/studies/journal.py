"""Keeps the Lanczos runs of a stage in the run directory, so that a resume goes on where a crash struck."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from distlandscape.errors import GenerationLost
from distlandscape.files import remove_files, remove_tree, require_unchanged
from distlandscape.record.run import Run
from distlandscape.spectral.journal import Recurrence, Restart
from distlandscape.spectral.space import Basis, Pending


def restart_of(**kept: Any) -> Restart:
    """A restart as the log has it; one of an earlier version counts no starts but the first."""
    if "ended" not in kept:
        first, closed = kept["heights"], kept["closed"]
        kept["ended"] = [[height] if closed else [] for height in first]
        kept["heights"] = [-math.inf if closed else height for height in first]
    return Restart(**kept)


class Renewed(GenerationLost):
    """All was committed and is given up, for a further worker to take its share."""


class RunJournal:
    """Journal of one stage; each Lanczos run has a folder of basis files and its lines in the log.

    A step counts once its line, with the digests of the files it commits, is in the log. Files and line are written
    while the next step is under way, so a crash costs what came since: at most the last step that ended, where a pass
    takes longer than the writing. After a thick restart the whole basis is written anew.

    Args:
        run: where it is kept.
        stage: name of the stage.
        progress: told of every step.
        renewal: asked at every commit whether to stop there for workers that came up.
    """

    def __init__(self, run: Run, stage: str, progress: Callable[[str], None], renewal: Callable[[], bool]) -> None:
        self._run, self._stage, self._progress, self._renewal = run, stage, progress, renewal
        self._kept: dict[str, tuple[int, int, int]] = {}  # restarts, steps since the last one and vectors, by name
        self._locked: dict[str, int] = {}
        self._writer = ThreadPoolExecutor(1, "journal")
        self._writing: dict[str, Future[None]] = {}  # by name, at most one each
        self.commits = 0  # that were written

    def restore(self, name: str, basis: Basis) -> Recurrence | None:
        """See Journal.restore.

        Raises:
            InputError: a committed file is missing or was changed.
        """
        self._wait()
        lines = [e for e in self._run.log.events("steps") if (e["stage"], e["name"]) == (self._stage, name)]
        restarts = lines[-1]["restarts"] if lines else 0
        lines = [line for line in lines if line["restarts"] == restarts]
        digests = {file: digest for line in lines for file, digest in line["files"].items()}
        folder = self._folder(name, restarts)
        # Those that were written, but never committed, or are outdated.
        remove_files(folder.parent, lambda file: file.parent != folder or file.name not in digests)
        self._locked[name] = basis.size
        self._kept[name] = (0, 0, basis.size)
        if not lines:
            return None
        for file_name, digest in digests.items():
            require_unchanged(folder / file_name, digest)
        restart = lines[0]["restart"]
        recurrence = Recurrence(
            symmetry=lines[-1]["symmetry"], restart=restart_of(**restart) if restart is not None else None
        )
        for line in lines:
            recurrence.alphas += line["alphas"]
            recurrence.betas += line["betas"]
            recurrence.couplings += line["couplings"]
            recurrence.bands += line.get("bands", [])  # absent from logs of runs begun before there were blocks
        basis.load(folder, lines[-1]["vectors"])
        self._kept[name] = (restarts, len(recurrence.alphas), basis.size)
        return recurrence

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        """See Journal.commit; leaves it to the next one where the writing of the last is still under way.

        Raises:
            OSError: the last one could not be written.
            Renewed: a worker came up; all steps so far are committed.
        """
        renewal = self._renewal()
        if name in self._writing:
            if not renewal and not self._writing[name].done():
                return
            self._writing.pop(name).result()
        restarts, done, held = self._kept[name]
        restart = recurrence.restart
        if restart is not None and restart.number > restarts:
            restarts, done, held = restart.number, 0, self._locked[name]
        line: dict[str, Any] = {
            "stage": self._stage,
            "name": name,
            "restarts": restarts,
            "restart": asdict(restart) if restart is not None and done == 0 else None,
            "alphas": recurrence.alphas[done:],
            "betas": recurrence.betas[done:],
            "couplings": recurrence.couplings[done:],
            "bands": recurrence.bands[done:],
            "symmetry": recurrence.symmetry,
            "vectors": basis.size,
        }
        pending = basis.save(self._folder(name, restarts), held)
        self._writing[name] = self._writer.submit(self._write, name, pending, line)
        self._kept[name] = (restarts, len(recurrence.alphas), basis.size)
        if renewal:
            self._wait()
            raise Renewed("a further worker came up")

    def progress(self, name: str, step: int, note: str) -> None:
        """See Journal.progress."""
        self._progress(f"{self._stage}: step {step}, {note}")

    def discard(self) -> None:
        """Delete the basis files: the stage's outcome is committed."""
        self.end()
        remove_tree(self._run.path, Path("basis", self._stage))
        with contextlib.suppress(OSError):  # absent, or another stage's files are in it
            (self._run.path / "basis").rmdir()

    def end(self) -> None:
        """Let what is being written become whole; what goes wrong with it costs the steps it holds, no more."""
        self._writer.shutdown()

    def _write(self, name: str, pending: Pending, line: dict[str, Any]) -> None:
        self._run.log.append("steps", **line, files=pending.result())
        self.commits += 1
        if line["restart"] is not None:
            remove_tree(self._run.path, self._folder(name, line["restarts"] - 1).relative_to(self._run.path))

    def _wait(self) -> None:
        """Until nothing is being written; raises what went wrong."""
        while self._writing:
            self._writing.popitem()[1].result()

    def _folder(self, name: str, restarts: int) -> Path:
        return self._run.path / "basis" / self._stage / name / f"{restarts:03d}"
