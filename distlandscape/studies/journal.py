"""Keeps the Lanczos runs of a stage in the run directory, so that a resume goes on where a crash struck."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from distlandscape.errors import InputError
from distlandscape.files import sha256
from distlandscape.record.run import Run
from distlandscape.spectral.journal import Recurrence
from distlandscape.spectral.space import Basis

COST_SHARE = 0.05  # of the time goes into commits at most; what came since the last one is lost in a crash


class RunJournal:
    """Journal of one stage; each Lanczos run has a folder of basis files and its lines in the log.

    A step counts once its line, with the digests of the files it commits, is in the log.
    """

    def __init__(self, run: Run, stage: str, progress: Callable[[str], None]) -> None:
        self._run, self._stage, self._progress = run, stage, progress
        self._committed: dict[str, tuple[int, int]] = {}  # steps and vectors, by name
        self._last, self._cost = time.monotonic(), 0.0

    def restore(self, name: str, basis: Basis) -> Recurrence | None:
        """See Journal.restore.

        Raises:
            InputError: a committed file is missing or was changed.
        """
        folder = self._folder(name)
        lines = [e for e in self._run.log.events("steps") if (e["stage"], e["name"]) == (self._stage, name)]
        digests = {file: digest for line in lines for file, digest in line["files"].items()}
        for file in folder.glob("*") if folder.exists() else []:
            if file.name not in digests:  # written, but never committed
                file.unlink()
        if not lines:
            self._committed[name] = (0, basis.size)
            return None
        for file_name, digest in digests.items():
            file = folder / file_name
            if not file.exists() or sha256(file) != digest:
                raise InputError(f"{file} is missing or was changed after the run wrote it; start the study again")
        recurrence = Recurrence(symmetry=lines[-1]["symmetry"])
        for line in lines:
            recurrence.alphas += line["alphas"]
            recurrence.betas += line["betas"]
            recurrence.couplings += line["couplings"]
        basis.load(folder, lines[-1]["vectors"])
        self._committed[name] = (len(recurrence.alphas), basis.size)
        return recurrence

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        """See Journal.commit; writes when the last time is long enough ago for what it cost."""
        began = time.monotonic()
        if began - self._last < self._cost / COST_SHARE:
            return
        done, held = self._committed[name]
        files = basis.save(self._folder(name), held)
        self._run.log.append(
            "steps",
            stage=self._stage,
            name=name,
            alphas=recurrence.alphas[done:],
            betas=recurrence.betas[done:],
            couplings=recurrence.couplings[done:],
            symmetry=recurrence.symmetry,
            vectors=basis.size,
            files=files,
        )
        self._committed[name] = (len(recurrence.alphas), basis.size)
        self._last = time.monotonic()
        self._cost = self._last - began

    def progress(self, name: str, step: int, note: str) -> None:
        """See Journal.progress."""
        self._progress(f"{self._stage}: step {step}, {note}")

    def close(self) -> None:
        """Delete the basis files: the stage's outcome is committed."""
        folder = self._run.path / "basis"
        shutil.rmtree(folder / self._stage, ignore_errors=True)
        with contextlib.suppress(OSError):  # absent, or another stage's files are in it
            folder.rmdir()

    def _folder(self, name: str) -> Path:
        return self._run.path / "basis" / self._stage / name
