"""Figures of a run that goes on come from a thread that can do no harm."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from distlandscape.record.run import Run
from distlandscape.studies import figures as module
from distlandscape.studies.figures import FiguresSoFar


class Mirror:
    """Remembers what it was sent, and says when something came."""

    def __init__(self) -> None:
        self.sent: list[dict[str, bytes]] = []
        self.came = threading.Event()

    def push_images(self, images: dict[str, bytes]) -> bool:
        self.sent.append(images)
        self.came.set()
        return True


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(module, "COST_SHARE", 1.0)
    return Run.create(tmp_path, "spectrum", {}, {})


def test_images_reach_the_mirror_while_the_work_goes_on(run: Run) -> None:
    mirror: Any = Mirror()
    with FiguresSoFar(run, lambda path: {"ritz": str(path).encode()}, mirror):
        assert mirror.came.wait(20)
    assert mirror.sent[0] == {"ritz": str(run.path).encode()}
    assert not any(thread.name == "figures" for thread in threading.enumerate())


def test_a_figure_that_cannot_be_drawn_is_left_out_and_the_next_one_comes(run: Run) -> None:
    mirror: Any = Mirror()
    attempts = []

    def draw(path: Path) -> dict[str, bytes]:
        attempts.append(path)
        if len(attempts) == 1:
            raise ValueError("half a table")
        return {} if len(attempts) == 2 else {"density": b"x"}

    with FiguresSoFar(run, draw, mirror):
        assert mirror.came.wait(20)
    assert len(attempts) >= 3
    assert mirror.sent[0] == {"density": b"x"}


def test_a_short_run_pays_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 30.0)
    mirror: Any = Mirror()
    drawn: list[Path] = []

    def draw(path: Path) -> dict[str, bytes]:
        drawn.append(path)
        return {}

    with FiguresSoFar(run, draw, mirror):
        pass
    assert drawn == []
