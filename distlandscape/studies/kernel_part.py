"""The part of the hierarchy study that looks at the empirical kernel of all samples."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from distlandscape.objective import Objective
from distlandscape.record.run import Stage
from distlandscape.runtime.clustering import first_logits
from distlandscape.runtime.kernel import Array, dual_eigenvalues, empirical_kernel, kernel_drift, linearised
from distlandscape.studies.context import StudyContext


class KernelPart:
    """Kernels are large and quickly computed again, so a run keeps what is read off them, not them.

    Args:
        context: of the study.
        first: weights of the first checkpoint, which drift and linearisation start from.
    """

    def __init__(self, context: StudyContext, first: Path) -> None:
        self._context, self._start = context, context.at(first)
        self._eigenvalues: Array = np.empty(0)

    def measure(self, objective: Objective, index: int, last: bool) -> dict[str, float]:
        """Drift of the kernel from the first checkpoint's, and the network linearised there beside the network."""
        done = self._context.stage(f"kernel-{index:03d}", lambda _: self._stage(objective, index, last))
        self._eigenvalues = done.arrays["eigenvalues"]
        return done.values

    def spectrum(self) -> pa.Table:
        """The last checkpoint's eigenvalues of G, all but zeros."""
        values = self._eigenvalues[: self._start.parameters]
        return pa.table({"rank": np.arange(1, len(values) + 1), "eigenvalue": values})

    def _stage(self, objective: Objective, index: int, last: bool) -> Stage:
        runner = self._context.runner
        kernel = self._first_kernel if index == 0 else empirical_kernel(objective, runner)
        drift = kernel_drift(kernel, self._first_kernel)
        moved = linearised(self._start, objective, runner)
        values = {
            "kernel_drift": drift.relative,
            "kernel_alignment": drift.alignment,
            "linearised_error": moved.error,
            "linearised_agreement": moved.agreement,
            "linearised_accuracy": moved.accuracy,
        }
        eigenvalues = np.empty(0)
        if last:  # their cost grows with the cube of samples × classes
            eigenvalues = dual_eigenvalues(kernel, first_logits(objective, objective.samples, runner))
        return Stage({"eigenvalues": eigenvalues}, values)

    @cached_property
    def _first_kernel(self) -> Array:
        return empirical_kernel(self._start, self._context.runner)
