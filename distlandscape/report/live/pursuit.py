"""The eigenpairs that a run is after: its newest stage with a Lanczos run for wanted pairs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from distlandscape.convergence import convergence, stated
from distlandscape.record.run import Run
from distlandscape.report.live.recurrences import LanczosRun, Ritz, lanczos_runs
from distlandscape.report.tables import Array, Pairs, RunView

WANTED = "main"  # the Lanczos run of a stage that looks for the wanted pairs; others check them, or draw densities
SAMPLES = 40  # looks back at the course of convergence, about


@dataclass(frozen=True)
class Look:
    """The wanted pairs after some steps: relative residuals by rank, nan where there is no Ritz value yet."""

    step: int
    top: Array
    lowest: Array


@dataclass(frozen=True)
class Pursuit:
    """Eigenpairs that are, or were, being looked for.

    Attributes:
        run: the Lanczos run.
        then: what the stage did after it: the check for missed copies, or draws; None: it is still at it.
        top: wanted from the upper end.
        low: wanted from the lower end.
        tol: residual relative to each |λ|.
        dim: parameters of the operator; None where the log does not say.
        ended: whether the stage's outcome is committed.
    """

    run: LanczosRun
    then: LanczosRun | None
    top: int
    low: int
    tol: float
    dim: int | None
    ended: bool

    @property
    def words(self) -> str:
        """What is being done, in a few words."""
        if self.ended:
            return f"{self.run.stage}: finished after {self.run.steps} steps"
        if self.then is None:
            return f"{self.run.stage}: Lanczos step {self.run.steps}"
        if self.then.name.startswith("draw"):
            return f"{self.run.stage}: spectral density, Lanczos step {self.then.steps}"
        return f"{self.run.stage}: looking for missed copies, Lanczos step {self.then.steps}"

    def ends(self, ritz: Ritz, eps: float) -> tuple[Pairs | None, Pairs | None]:
        """The wanted pairs of either end, as far as there are Ritz values, the most extreme first.

        The residuals are those of the recurrence, and at least what rounding leaves: if that is more, the run measures
        it last.
        """
        norm = float(np.abs(ritz.values).max())
        residuals = stated(ritz.residuals, eps, norm)
        good, _ = convergence(ritz.values, residuals, self.tol, eps, norm)
        rounding = good & (residuals > self.tol * np.abs(ritz.values))
        count = len(ritz.values)
        upper = np.arange(count)[::-1][: self.top]
        lower = np.arange(min(self.low, count - len(upper)))
        found = [Pairs(ritz.values[i], residuals[i], good[i], rounding[i]) if len(i) else None for i in (upper, lower)]
        return found[0], found[1]

    def view(self, view: RunView) -> RunView:
        """A run's view with the Ritz values of now in place of eigenvalues."""
        top, lowest = self.ends(self.run.ritz(), view.eps)
        spectrum = {**(view.config.get("spectrum") or {}), "tol": self.tol}
        config = {**view.config, "spectrum": spectrum}
        return dataclasses.replace(view, top=top, lowest=lowest, config=config, result={})


def pursuit(run: Run) -> Pursuit | None:
    """What the newest such stage is after; None where there was none yet."""
    runs = lanczos_runs(run.log.events("steps"))
    found = [one for one in runs if one.name == WANTED]
    if not found:
        return None
    main = found[-1]
    later = [one for one in runs if one.stage == main.stage and one is not main and one.time >= main.time]
    aims = [event for event in run.log.events("begun") if event["name"] == main.stage]
    aim = aims[-1] if aims else _configured(run.config)
    dim = aim.get("dim")
    return Pursuit(
        main,
        later[-1] if later else None,
        int(aim.get("top", 1)),
        int(aim.get("low", 0)),
        float(aim.get("tol", 1e-3)),
        None if dim is None else int(dim),
        main.stage in run.stages(),
    )


def _configured(config: dict[str, Any]) -> dict[str, Any]:
    """What a log without aims leaves to the configuration."""
    section = config.get("spectrum") or {}
    return {"top": section.get("k", 1), "low": section.get("lowest", 0), "tol": section.get("tol", 1e-3)}


class Course:
    """How the residuals of wanted pairs fell; what was worked out once is kept."""

    def __init__(self) -> None:
        self._looks: dict[tuple[str, int, int], Look] = {}

    def looks(self, found: Pursuit, eps: float) -> list[Look]:
        """At some steps of the whole run, the last one included."""
        stretches = found.run.stretches
        blocks = sum(-(-stretch.rank // stretch.block) for stretch in stretches)
        every = 1 << max(0, (blocks - 1) // SAMPLES).bit_length()  # so that steps once looked at stay useful
        looks = []
        for stretch in stretches:
            stride = every * stretch.block
            for rank in [*range(stride, stretch.rank, stride), stretch.rank]:
                key = (found.run.stage, stretch.restarts, rank)
                if key not in self._looks:
                    self._looks[key] = _look(found, stretch.ritz(rank), stretch.steps(rank), eps)
                looks.append(self._looks[key])
        return looks


def _look(found: Pursuit, ritz: Ritz, step: int, eps: float) -> Look:
    relative = []
    for pairs, count in zip(found.ends(ritz, eps), (found.top, found.low), strict=True):
        known = np.full(count, np.nan)
        if pairs is not None:
            known[: len(pairs.values)] = pairs.relative
        relative.append(known)
    return Look(step, *relative)
