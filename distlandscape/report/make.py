"""The report of one run: its figures and its page."""

from __future__ import annotations

from pathlib import Path

from distlandscape.files import write_text, write_whole
from distlandscape.record.run import Run
from distlandscape.report.tables import load


def make_report(run_path: str | Path) -> Path:
    """Write ``figures/*.png`` and ``report.html`` of a run directory, finished or not; returns the page's path.

    Each file is either whole or absent. A few seconds, most of them for importing matplotlib and plotly.

    Raises:
        InputError: ``run_path`` is not a run directory.
    """
    # Drawing is slow to import, and who only names this function should not pay for it.
    from distlandscape.report.page import render
    from distlandscape.report.png import figures

    run = Run.open(run_path)
    view = load(run)
    images = figures(view)
    for name, image in images.items():
        _save(run.path / "figures" / f"{name}.png", image)
    page = run.path / "report.html"
    write_text(page, render(view, images))
    return page


def _save(path: Path, content: bytes) -> None:
    write_whole(path, lambda part: part.write_bytes(content))
