"""The page: one HTML file with everything in it, which needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from distlandscape.convergence import convergence_words
from distlandscape.display import counted
from distlandscape.report import story, words
from distlandscape.report.figure import StudyPage
from distlandscape.report.html import png_uri, render_page
from distlandscape.report.numbers import as_known, number, with_error
from distlandscape.report.pages import study_page
from distlandscape.report.tables import Measured, Pairs, RunView

SHOWN = 10  # rows of the first table; the others are folded away
TRUST = {
    "relation": "error of the Lanczos relation on a random combination of the whole basis, over the norm: what rounding"
    " leaves on average",
    "orthogonality": "loss of orthogonality of the basis",
    "symmetry": "largest coefficient that vanishes for a symmetric matrix, over the norm",
    "norm": "largest |eigenvalue| seen",
    "missed_copies": "further copies of the reported eigenvalues",
    "missed_probability": "bound on the probability that an eigenvalue beyond the reported ends was missed",
}


def render(view: RunView, images: dict[str, bytes]) -> str:
    """The page's HTML; ``images`` are the PNG figures, for print and where scripts do not run."""
    page = study_page(view.study)
    gaps = [] if not view.result else [page.parts[name] for name in page.missing(view) if name in page.optional]
    return render_page(
        "page.html.j2",
        name=view.name,
        subject=subject(view, page),
        size=_size(view),
        answer=page.answer(view),
        notices=story.notices(view, page),
        first=page.first(view),
        ends=[(name, _rows(pairs)) for name, pairs, _ in words.ends(view)],
        shown=SHOWN,
        estimates=list(_estimates(view)),
        figures=_figures(view, page, images),
        gaps=gaps,
        folded=page.folded(view),
        trust=[(key, _value(value), TRUST.get(key, "")) for key, value in (view.result.get("trust") or {}).items()],
        provenance=[(key, _value(value)) for key, value in _provenance(view)],
        configuration=yaml.safe_dump(view.config, sort_keys=False, allow_unicode=True),
    )


def _figures(view: RunView, page: StudyPage, images: dict[str, bytes]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "title": figure.title,
            "caption": figure.caption,
            "plot": figure.plot(view),
            "image": png_uri(images[name]),
        }
        for name, figure in page.drawn(view).items()
    ]


def subject(view: RunView, page: StudyPage) -> str:
    """What was measured, of which model, on which data."""
    model = view.result.get("model") or (view.config.get("model") or {}).get("name")
    data = view.result.get("data") or (view.config.get("data") or {}).get("source")
    on = f" on {data}" if data else ""
    measured = page.subject(view)
    if not page.of_a_network:
        return measured
    return f"{measured} of {model}{on}" if model else f"{measured}{on}"


def _size(view: RunView) -> list[str]:
    counts = (
        (view.result.get("samples"), "sample", ""),
        (view.classes, "class", "classes"),
        (view.result.get("passes"), "pass over the data", "passes over the data"),
        (view.result.get("workers") or None, "worker", ""),
    )
    sizes = [view.described_parameters] if view.described_parameters else []
    sizes += [counted(int(count), noun, plural) for count, noun, plural in counts if count is not None]
    sizes += ["in one process"] if view.result.get("workers") == 0 else []
    wall = view.result.get("wall_s")
    return sizes if wall is None else [*sizes, f"{number(float(wall), 3)}\u00a0s"]


def _rows(pairs: Pairs) -> list[dict[str, Any]]:
    columns = zip(
        pairs.ranks, pairs.values, pairs.residuals, pairs.relative, pairs.converged, pairs.at_rounding, strict=True
    )
    return [
        {
            "rank": int(rank),
            "value": as_known(value, residual) if converged else number(value, 3),
            "residual": number(residual, 2),
            "relative": number(relative, 2),
            "converged": bool(converged),
            "verdict": convergence_words(bool(converged), bool(at_rounding), float(relative)),
        }
        for rank, value, residual, relative, converged, at_rounding in columns
    ]


def _estimates(view: RunView) -> Iterator[tuple[str, str, str]]:
    names: tuple[tuple[str, Measured | None], ...] = (
        ("Trace", view.trace),
        ("Frobenius norm", view.frobenius),
    )
    for name, measured in names:
        if measured is not None:
            probes = f"{measured.probes} probes" if measured.probes else ""
            yield name, with_error(measured.value, measured.stderr), probes


def _value(value: Any) -> str:
    if isinstance(value, float):
        return number(value, 3)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _provenance(view: RunView) -> Iterator[tuple[str, Any]]:
    """Identity and provenance, flat; what the page shows elsewhere is left out."""
    yield "run_dir", str(view.path)
    yield from leaves(view.identity)
    kept = ("weights", "weights_sha256", "transport", "status", "provenance")
    yield from leaves({key: view.result[key] for key in kept if key in view.result})


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings, under names joined by dots."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
