"""The report of one run, or of several beside each other: figures and a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distlandscape.files import write_bytes, write_text
from distlandscape.record.run import Run, require_writable
from distlandscape.record.untouched import require_files
from distlandscape.report.tables import load


def make_report(run_path: str | Path, out: str | Path | None = None) -> Path:
    """Write ``figures/*.png`` and ``report.html`` of a run directory, finished or not; returns the page's path.

    They go into the run directory, or into the folder ``out``.

    Each file is either whole or absent. A few seconds, most of them for importing matplotlib and plotly.

    Raises:
        InputError: ``run_path`` is not a run directory, or one with links in it, or ``out`` cannot be written.
    """
    # Drawing is slow to import, and who only names this function should not pay for it.
    from distlandscape.report.page import render
    from distlandscape.report.png import figures

    run = Run.open(run_path)
    if out is None:
        require_files(run.path, shared=True)
    view = load(run)
    folder = run.path if out is None else _folder(out)
    images = figures(view)
    return _save(folder, "report.html", render(view, images), images)


def make_comparison(run_paths: Sequence[str | Path], out: str | Path) -> Path:
    """Write ``figures/*.png`` and ``comparison.html`` of two or more runs into ``out``; returns the page's path.

    Studies may differ; what at least two runs hold is laid over each other.

    Raises:
        InputError: a path is not a run directory, a run is named twice, the runs have nothing in common, or ``out``
            cannot be written.
    """
    from distlandscape.report.comparison.page import compare, render
    from distlandscape.report.comparison.png import image

    comparison = compare([load(Run.open(path)) for path in run_paths])
    folder = _folder(out)
    images = {overlay.name: image(overlay, comparison.labels) for overlay in comparison.overlays}
    if (folder / "comparison.html").exists():
        # Figures of an earlier comparison would pass for this one's.
        for old in folder.glob("figures/*.png"):
            old.unlink()
    return _save(folder, "comparison.html", render(comparison, images), images)


def _folder(out: str | Path) -> Path:
    folder = Path(out).absolute()
    require_writable(folder)
    return folder


def _save(folder: Path, name: str, page: str, images: dict[str, bytes]) -> Path:
    for image, content in images.items():
        write_bytes(folder / "figures" / f"{image}.png", content)
    write_text(folder / name, page)
    return folder / name
