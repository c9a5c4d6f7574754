"""What the journal of a Lanczos step costs beside the step: basis vector, digest, chained line of the log, fsync.

    make bench-journal

Prints Markdown. Runs with and without a journal take turns on the same resnet20; beside their times stand those of the
journal's own parts, which the load of the machine cannot blur: what the step waits for, and what another thread writes
while the next step is under way. The lines go into a log that is as long as that of a run of hours.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.record.run import Run
from distlandscape.runtime import LocalRunner
from distlandscape.spectral.journal import SILENT, Recurrence
from distlandscape.spectral.space import Basis
from distlandscape.studies.journal import RunJournal

SAMPLES, STEPS, TURNS, BEFORE = 512, 6, 3, 2000
LIMIT = 0.05  # of a step, for its journal


class Timed(RunJournal):
    """Keeps the seconds of its parts."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, "eigenpairs-000", lambda text: None, lambda: False)
        self.waited: list[float] = []
        self.wrote: list[float] = []

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        """See RunJournal.commit."""
        began = time.perf_counter()
        super().commit(name, basis, recurrence)
        self.waited.append(time.perf_counter() - began)

    def _write(self, *arguments: Any) -> None:
        began = time.perf_counter()
        super()._write(*arguments)
        self.wrote.append(time.perf_counter() - began)


def seconds_of_a_step(hessian: dl.Hessian, journal: Any) -> float:
    """Mean over a run of some steps."""
    passes, began = hessian.passes, time.perf_counter()
    dl.top_eigenpairs(hessian, 1, tol=1e-12, max_steps=STEPS, journal=journal)
    return (time.perf_counter() - began) / (hessian.passes - passes)


def appends(run: Run, count: int = 200) -> list[float]:
    """Seconds of single lines, as long as those of a step."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        run.log.append("steps", stage="an earlier one", name="main", restarts=0, alphas=[1.0], betas=[1.0],
                       couplings=[[]], vectors=1, files={"x" * 60: "0" * 64})  # fmt: skip
        found.append(time.perf_counter() - began)
    return found


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((SAMPLES, 3, 32, 32), dtype=np.float32), rng.integers(0, 10, SAMPLES)
    objective = dl.Objective(build_model("resnet20", (3, 32, 32), 10, {}, seed=0), (x, y))
    hessian = dl.Hessian(objective, LocalRunner(threads=1))
    without, with_it, waited, wrote = [], [], [], []
    Path("results").mkdir(exist_ok=True)  # on the disk that runs lie on
    with tempfile.TemporaryDirectory(dir="results") as folder:
        run = Run.create(Path(folder), "spectrum", {}, {})
        appends(run, BEFORE)
        seconds_of_a_step(hessian, SILENT)  # what the first one compiles and allocates is nobody's
        for _ in range(TURNS):
            without.append(seconds_of_a_step(hessian, SILENT))
            journal = Timed(run)
            with_it.append(seconds_of_a_step(hessian, journal))
            journal.end()
            waited += journal.waited
            wrote += journal.wrote
            journal.discard()
            run.log.path.unlink()
            run = Run.create(Path(folder), "spectrum", {}, {})
            appends(run, BEFORE)
        line = appends(run)
    step = statistics.median(without)
    parts = {
        "step without a journal": step,
        "step with a journal": statistics.median(with_it),
        "commit, which the step waits for": statistics.median(waited),
        "file and line, beside the next step": statistics.median(wrote),
        "of it the chained line with its fsync": statistics.median(line),
    }
    print(f"resnet20, {objective.parameters:,} parameters, {SAMPLES} samples, 1 thread; medians\n")
    print("| | seconds | share of a step |\n|---|---|---|")
    for name, seconds in parts.items():
        print(f"| {name} | {seconds:.4f} | {100 * seconds / step:.2f} % |")
    whole = (statistics.median(waited) + statistics.median(wrote)) / step
    print(f"\nThe journal is {100 * whole:.2f} % of a step where nothing hides it (at most {100 * LIMIT:.0f} %).")
    raise SystemExit(whole > LIMIT)


if __name__ == "__main__":
    main()
