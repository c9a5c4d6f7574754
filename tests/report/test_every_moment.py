"""A page of every study at every moment at which it can stop, and what else is told of such a run.

A study runs once. Whenever it has written anything that a page reads, the run directory is copied as it is then.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.errors import InputError
from distlandscape.record.log import EventLog
from distlandscape.record.mlflow_values import collect
from distlandscape.record.run import Run
from distlandscape.report.comparison.page import compare
from distlandscape.report.comparison.page import render as render_comparison
from distlandscape.report.live.state import Follower
from distlandscape.report.page import render
from distlandscape.report.pages import study_page
from distlandscape.report.png import figures
from distlandscape.report.tables import RunView, load
from distlandscape.studies import execute, sweep
from tests.report.conftest import STUDIES
from tests.report.reading import words_of
from tests.studies.conftest import Unmirrored

pytestmark = pytest.mark.usefixtures("undrawn")

# Smaller than those whose pages are looked at: there are many moments.
SMALLER = {
    "spectrum": ("train.checkpoints=2", "spectrum.k=3", "spectrum.lowest=1", "spectrum.density_steps=10"),
    "clustering": ("train.checkpoints=2",),
    "hierarchy": ("train.checkpoints=1",),
    "emergence": ("train.checkpoints=2", "emergence.draws=5", "emergence.density_steps=10", "train.steps=10"),
    "hyperplane": ("hyperplane.dims=[2, 100]", "hyperplane.seeds=2", "hyperplane.pack=2", "train.steps=20"),
    "goldilocks": ("goldilocks.radii=[0.25, 4]", "goldilocks.modes=[sphere]", "train.steps=4"),
}
READ = re.compile(r"(run\.json|config\.yaml|log\.jsonl|result\.json|tables|.*\.parquet)$")


class Moments:
    """Copies of a run directory, one after each thing that was written to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.paths, self.wrote = folder, [], []
        self.lock = threading.Lock()  # a search is watched, and logged, by a thread of its own

    def take(self, run: Path, what: str) -> None:
        """The directory as it is; tables are replaced as a whole, so that links will do."""
        if not (run / "run.json").exists():  # it is no run yet: the log has its first line before
            return
        copy = self.folder / f"{run.name}-{len(self.paths):03d}"
        shutil.copytree(run, copy, ignore=_unread, copy_function=_link)
        self.paths.append(copy)
        self.wrote.append(what)


def _unread(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not READ.match(name)]


def _link(source: str, target: str) -> None:
    (shutil.copy if source.endswith("log.jsonl") else os.link)(source, target)


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Moments]:
    """All moments of a study, which runs once."""
    found: dict[str, Moments] = {}

    def watch(study: str) -> Moments:
        if study in found:
            return found[study]
        out = tmp_path_factory.mktemp(study)
        seen = Moments(tmp_path_factory.mktemp(f"moments-of-{study}"))
        with pytest.MonkeyPatch.context() as patch:
            for owner, name, path in (
                (EventLog, "append", lambda log: log.path.parent),
                (Run, "write_table", lambda run: run.path),
                (Run, "write_result", lambda run: run.path),
            ):
                patch.setattr(owner, name, _watched(getattr(owner, name), path, seen))
            patch.setattr(execute, "MlflowMirror", Unmirrored)
            # Tables of a sweep after every trial, as in one that takes long.
            patch.setattr(sweep, "TABLES_SECONDS", 0.0)
            patch.setattr(sweep, "COST_SHARE", float("inf"))
            patch.setattr("distlandscape.report.png._png", lambda figure: b"")
            keys = [word for key in (*STUDIES[study], *SMALLER.get(study, ())) for word in ("--set", key)]
            assert main([study, *keys, "--workers", "0", "--out", str(out)]) in (0, 3)
        found[study] = seen
        return seen

    return watch


def _watched(write: Callable, path: Callable, seen: Moments) -> Callable:
    def written(self, what, *rest, **named):
        with seen.lock:
            digest = write(self, what, *rest, **named)
            seen.take(path(self), what if isinstance(what, str) else "result")
        return digest

    return written


@functools.cache
def view_of(path: Path) -> RunView:
    """What a page reads; the copy stays as it is."""
    return load(Run.open(path))


def distinct(seen: Moments) -> list[Path]:
    """The first and the last moment at which the same tables are there: some of them grow in between."""
    kept = []
    for _, group in itertools.groupby(seen.paths, _parts):
        first, *more = group
        kept += [first, *more[-1:]]
    return kept


def _parts(path: Path) -> tuple[list[str], bool]:
    return sorted(file.name for file in path.glob("tables/*")), (path / "result.json").exists()


@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.commands)])  # every other moment, or all
@pytest.mark.parametrize("study", STUDIES)
def test_a_page_at_every_moment(study, step, moments, tmp_path):
    """No exception; the page says that the run was interrupted, draws what it can and names what it lacks."""
    page = study_page(study)
    *unfinished, last = distinct(moments(study))
    assert len(unfinished) > 2
    unfinished = unfinished[::step]
    for path in (*unfinished, last):
        view = view_of(path)
        if path is not last:
            view = dataclasses.replace(view, status="interrupted", resumable=True)
        file = tmp_path / f"{path.name}.html"
        file.write_text(render(view, figures(view)), encoding="utf-8")
        told = words_of(file)
        for figure in page.drawn(view).values():
            assert figure.title in told
        if not view.result:
            assert "was interrupted" in told
            assert f"distlandscape resume {path}" in told
            assert all(page.parts[name] in told for name in page.missing(view))


@pytest.mark.parametrize("study", STUDIES)
def test_what_else_is_told_at_every_moment(study, moments):
    """The live page, MLflow's copy, and the run's own words."""
    for path in distinct(moments(study)):
        run = Run.open(path)
        assert Follower(path).state()["name"] == path.name
        assert collect(run).tags["distlandscape.study"] == study
        assert f"Run of {study}" in repr(dl.open_run(path))


@pytest.mark.parametrize("study", STUDIES)
def test_a_comparison_at_every_moment(study, moments):
    """With the finished run: a page, or the sentence that the two have nothing in common yet."""
    *unfinished, last = distinct(moments(study))
    compared = 0
    for path in unfinished:
        views = [view_of(path), view_of(last)]
        try:
            found = compare(views)
        except InputError:  # they have nothing in common yet
            continue
        compared += 1
        told = render_comparison(found, {overlay.name: b"" for overlay in found.overlays})
        assert path.name in told
    assert compared


def test_the_last_moments_are_those_of_a_finished_run(moments):
    """What was watched is what a page reads: the last copy is the finished run."""
    for study in STUDIES:
        seen = moments(study)
        assert view_of(seen.paths[-1]).result
        assert {"started", "ended"} <= set(seen.wrote)
    assert any(name == "grid" for name in moments("goldilocks").wrote)
