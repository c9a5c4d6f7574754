"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from distlandscape.errors import InputError
from distlandscape.report import story
from distlandscape.report.comparison import along, side_by_side, spectra, sweeps
from distlandscape.report.comparison.differences import configuration, labels, made_with, same_data
from distlandscape.report.comparison.interactive import plot
from distlandscape.report.comparison.overlay import Overlay
from distlandscape.report.figure import Notice, Rows, Sentence
from distlandscape.report.html import png_uri, render_page
from distlandscape.report.pages import study_page
from distlandscape.report.tables import RunView

BUILDERS = (
    spectra.eigenvalues,
    spectra.density,
    along.confinement,
    sweeps.dimensions,
    sweeps.radii,
    along.clustering,
    along.properties,
    sweeps.model_spectrum,
    along.training,
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs with their names and what they have in common."""

    views: Sequence[RunView]
    labels: list[str]
    overlays: list[Overlay]
    verdicts: Rows | None
    numbers: Rows | None


def compare(views: Sequence[RunView]) -> Comparison:
    """Lay the runs over each other.

    Raises:
        InputError: a run is named twice, or no two runs have anything in common.
    """
    for index, view in enumerate(views):
        if view.path.resolve() in {other.path.resolve() for other in views[:index]}:
            raise InputError(f"the run {view.path} is named twice; name each run once")
    names = labels(views)
    overlays = [found for build in BUILDERS if (found := build(views)) is not None]
    verdicts = side_by_side.verdicts(views, names)
    if not overlays and verdicts is None:
        studies = ", ".join(dict.fromkeys(view.study for view in views))
        raise InputError(
            f"these runs ({studies}) have no figure and no verdict in common; name runs that measured the same"
        )
    return Comparison(views, names, overlays, verdicts, side_by_side.numbers(views, names))


def render(comparison: Comparison, images: dict[str, bytes]) -> str:
    """The page's HTML; ``images`` are the PNG figures by name, for print and where scripts do not run."""
    views, names = comparison.views, comparison.labels
    settings, origin = configuration(views), made_with(views)
    return render_page(
        "comparison.html.j2",
        name=f"comparison of {len(views)} runs",
        runs=Rows("Runs", ("name here", "run"), [(n, v.name) for n, v in zip(names, views, strict=True)], ("run",)),
        notices=_notices(comparison),
        answer=_answer(comparison, [difference.key for difference in settings]),
        settings=side_by_side.differing("What differs in the configuration", settings, names),
        origin=side_by_side.differing("What differs in data, versions and machine", origin, names),
        data={True: "All measured the same data.", False: "They did not measure the same data.", None: ""}[
            same_data(views)
        ],
        verdicts=comparison.verdicts,
        numbers=comparison.numbers,
        figures=[
            {
                "name": overlay.name,
                "title": overlay.title,
                "caption": (overlay.caption[0], f"{overlay.caption[1]}{_absent(overlay, names)}"),
                "plot": plot(overlay, names),
                "image": png_uri(images[overlay.name]),
            }
            for overlay in comparison.overlays
        ],
        trust=_trust(comparison),
        configurations=[
            (name, yaml.safe_dump(view.config, sort_keys=False, allow_unicode=True))
            for name, view in zip(names, views, strict=True)
        ],
    )


def _absent(overlay: Overlay, names: list[str]) -> str:
    gone = [name for index, name in enumerate(names) if index not in overlay.runs]
    return f" Without this: {'; '.join(gone)}." if gone else ""


def _answer(comparison: Comparison, differing: list[str]) -> Sentence:
    """What differs, what came of it, and on how many verdicts the runs agree."""
    views, count = comparison.views, len(comparison.views)
    keys = ", ".join(differing[:4]) + (f" and {len(differing) - 4} more keys" if len(differing) > 4 else "")
    parts: Sentence = [(f"{count} runs that ", False)]
    parts += [("differ in ", False), (keys, True)] if keys else [("have the same configuration", True)]
    for name in side_by_side.HEADLINES:
        told = [text for view in views if (text := side_by_side.QUANTITIES[name](view)) is not None]
        if len(told) == count:
            alike = len(set(told)) == 1  # said once; their curves lie upon each other, too
            parts += [(f"; {name}: ", False), (told[0] if alike else ", ".join(told), True)]
            parts += [(" in all, so that curves may hide each other", False)] if alike else []
            break
    agreed = side_by_side.agreement(views)
    if agreed is not None:
        parts += [("; they agree on ", False), (f"{agreed[0]} of {agreed[1]}", True), (" verdicts", False)]
    return [*parts, (".", False)]


def _notices(comparison: Comparison) -> list[Notice]:
    """What stands between the reader and the numbers of each run."""
    return [
        Notice(f"{name}: {notice.title}", notice.text)
        for name, view in zip(comparison.labels, comparison.views, strict=True)
        for notice in story.notices(view, study_page(view.study))
    ]


def _trust(comparison: Comparison) -> Rows | None:
    records = [view.result.get("trust") or {} for view in comparison.views]
    keys = dict.fromkeys(key for record in records for key in record)
    rows = [(key, *(_cell(record.get(key)) for record in records)) for key in keys]
    return Rows("Trust records", ("", *comparison.labels), rows) if rows else None


def _cell(value: object) -> str:
    return side_by_side.NONE if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
