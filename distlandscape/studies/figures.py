"""Figures of a run that goes on, for the mirror: drawn beside the work, never in its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.run import Run

Draw = Callable[[Path], dict[str, bytes]]

FIRST_SECONDS = 30.0
EVERY_SECONDS = 60.0
COST_SHARE = 0.03  # of the time, that drawing and sending may take


class FiguresSoFar:
    """While the context is open, draws what is under way now and then and hands it to the mirror.

    A thread does it; what goes wrong costs the figures, and the mirror's one warning where the server is away.

    Args:
        draw: PNG images by name, of a run directory.
    """

    def __init__(self, run: Run, draw: Draw, mirror: MlflowMirror) -> None:
        self._run, self._draw, self._mirror = run, draw, mirror
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="figures", daemon=True)

    def __enter__(self) -> FiguresSoFar:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()  # the page of the run's end is drawn next, and matplotlib is not for two at a time

    def _work(self) -> None:
        wait = FIRST_SECONDS
        while not self._stop.wait(wait):
            began = time.monotonic()
            try:
                images = self._draw(self._run.path)
            except Exception:  # of half a table or an odd spectrum; the page of the end will say what is wrong
                images = {}
            if images and not self._stop.is_set():
                self._mirror.push_images(images)
            wait = max(EVERY_SECONDS, (time.monotonic() - began) / COST_SHARE)
