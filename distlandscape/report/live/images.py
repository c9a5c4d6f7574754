"""The Ritz values and the density so far as PNG."""

from __future__ import annotations

from pathlib import Path

from distlandscape.record.run import Run
from distlandscape.report.tables import load


def images_so_far(run_path: Path) -> dict[str, bytes]:
    """Images by name, of what is under way: ``ritz`` and ``density``; empty where neither is.

    Raises:
        InputError: ``run_path`` is not a run directory.
    """
    from distlandscape.report import png_spectrum
    from distlandscape.report.live.density import density_so_far, draws_under_way
    from distlandscape.report.live.pursuit import pursuit
    from distlandscape.report.png import drawn

    run = Run.open(run_path)
    view, found, draws = load(run), pursuit(run), draws_under_way(run)
    images = {}
    if found is not None and not found.ended:
        images["ritz"] = drawn(lambda: png_spectrum.eigenvalues(found.view(view)), found.words)
    if draws:
        words = f"so far: step {draws[-1].steps} of the draws"
        images["density"] = drawn(lambda: png_spectrum.density(density_so_far(run, view)), words)
    return images
