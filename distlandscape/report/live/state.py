"""What the page of a run shows now, as plain JSON: read from the run directory, measured nowhere."""

from __future__ import annotations

from pathlib import Path

from distlandscape.record.lease import held
from distlandscape.record.log import FollowedLog
from distlandscape.record.run import Run
from distlandscape.redaction import redacted
from distlandscape.report import interactive_spectrum, style, words
from distlandscape.report.figure import StudyPage
from distlandscape.report.live.convergence import convergence
from distlandscape.report.live.density import density_so_far, draws_under_way
from distlandscape.report.live.pursuit import Course, Pursuit, pursuit
from distlandscape.report.live.stages import stages_done
from distlandscape.report.live.status import clock, status_of
from distlandscape.report.numbers import as_known, number
from distlandscape.report.page import subject
from distlandscape.report.pages import study_page
from distlandscape.report.plotly_json import Json
from distlandscape.report.tables import Pairs, RunView, load

FAULTS = 8  # of them, the newest, are shown
RITZ = (
    "Ritz values against rank with their residual bounds β|s|, rounding included, and the bounds relative to each"
    " value.",
    "They still move: a value is an eigenvalue only where its mark is filled, and before the check for missed copies"
    " an eigenvalue may be missing between them.",
)
CONVERGENCE = (
    "How the residual bound of each wanted pair fell with the steps; below the dashed line it has converged.",
    "A line that jumps up belongs to another eigenvalue from there on: one further out has appeared.",
)


class Follower:
    """Reads one run directory again and again; the run may live on another machine.

    Args:
        path: the run directory.

    Raises:
        InputError: it is not one, or of a study that this version does not know.
    """

    def __init__(self, path: str | Path) -> None:
        run = Run.open(path)
        study_page(run.study)
        self.path = run.path
        self._log, self._course = FollowedLog(run.log.path), Course()

    def run(self) -> Run:
        """The run directory as it is now; its log stands still until the next call, whatever is written meanwhile."""
        run = Run.open(self.path)
        if run.log.path.exists():
            self._log.refresh()
        run.log = self._log
        return run

    @property
    def report(self) -> Path | None:
        """The page of a run that has ended, once it is written; None before."""
        run, page = self.run(), self.path / "report.html"
        return page if run.status != "running" and not held(self.path) and page.is_file() else None

    def state(self) -> Json:
        """Everything the page shows, texts as they stand there, without secrets.

        Raises:
            InputError: the run directory is gone.
        """
        run = self.run()
        page, now = study_page(run.study), density_so_far(run, load(run))
        found = pursuit(run)
        shown: Json = {
            "name": now.name,
            "subject": subject(now, page),
            "themes": {"light": style.LIGHT, "dark": style.DARK},
            **status_of(run, now, found),
            "report": self.report is not None,
            "pairs": [] if found is None else _pairs(found, now),
            "figures": self._figures(run, now, page, found),
            "tables": [
                {"title": t.title, "head": t.head, "rows": t.rows} for t in (*page.first(now), *page.folded(now))
            ],
            "stages": stages_done(run),
            "faults": [[clock(e["time"]), str(e["text"])] for e in run.log.events("fault")[-FAULTS:]],
        }
        clean: Json = redacted(shown)
        return clean

    def _figures(self, run: Run, now: RunView, page: StudyPage, found: Pursuit | None) -> list[Json]:
        figures = []
        if found is not None and not (found.ended and now.top is not None):
            ritz = interactive_spectrum.eigenvalues(found.view(now))
            figures.append(_figure("ritz", f"Ritz values so far ({found.run.stage})", RITZ, ritz))
            course = convergence(found, self._course.looks(found, now.eps))
            figures.append(_figure("convergence", f"Convergence ({found.run.stage})", CONVERGENCE, course))
        draws = draws_under_way(run)
        for name, figure in page.drawn(now).items():
            so_far = f" so far (step {draws[-1].steps})" if draws and name == "density" else ""
            figures.append(_figure(name, f"{figure.title}{so_far}", figure.caption, figure.plot(now)))
        return figures


def _figure(name: str, title: str, caption: tuple[str, str], plot: Json) -> Json:
    return {"name": name, "title": title, "caption": caption, "plot": plot}


def _pairs(found: Pursuit, now: RunView) -> list[Json]:
    """A table for each end."""
    tables = []
    for name, pairs, _ in words.ends(found.view(now)):
        cells = zip(pairs.ranks, *_cells(pairs), pairs.converged, strict=True)
        rows = [[*map(str, row[:-1]), bool(row[-1])] for row in cells]
        tables.append({"title": f"{name.capitalize()}, {found.words}", "rows": rows})
    return tables


def _cells(pairs: Pairs) -> tuple[list[str], list[str], list[str]]:
    known = zip(pairs.values, pairs.residuals, pairs.converged, strict=True)
    values = [as_known(v, r) if good else number(v, 3) for v, r, good in known]
    return values, [number(r, 2) for r in pairs.residuals], [number(r, 2) for r in pairs.relative]
