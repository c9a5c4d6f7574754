"""What every page says in sentences: how the run ended, and what it lacks."""

from __future__ import annotations

import shlex

from distlandscape.report.figure import Notice, StudyPage
from distlandscape.report.tables import RunView


def notices(view: RunView, page: StudyPage) -> list[Notice]:
    """What stands between the reader and the numbers, the gravest first, each with its remedy."""
    ends = [_unfinished(view, page), _failed(view, page)]
    return [notice for notice in [*ends, *page.doubts(view), _gaps(view, page)] if notice is not None]


def _resume(view: RunView) -> str:
    return f"distlandscape resume {shlex.quote(str(view.path))}"


def _list(page: StudyPage, names: list[str]) -> str:
    return ", ".join(page.parts[name] for name in names)


def _unfinished(view: RunView, page: StudyPage) -> Notice | None:
    if view.result or view.status == "failed":
        return None
    missing = page.missing(view)
    so_far = f" Not here yet: {_list(page, missing)}." if missing else ""
    if view.status == "interrupted":
        return Notice("This run was interrupted.", f"Continue it where it stopped with: {_resume(view)}.{so_far}")
    cut = f"It is going on, or was cut off; in that case continue it with: {_resume(view)}."
    return Notice("This run has not ended.", cut + so_far)


def _failed(view: RunView, page: StudyPage) -> Notice | None:
    if view.status != "failed":
        return None
    why = view.detail.strip().rstrip(".")
    missing = page.missing(view)
    gaps = f" Not here: {_list(page, missing)}." if missing else ""
    if view.resumable:
        remedy = f"Remove the cause, then continue with: {_resume(view)}."
    else:
        remedy = "To resume it would end alike."
    return Notice("This run failed.", f"{why}. {remedy}{gaps}" if why else remedy + gaps)


def _gaps(view: RunView, page: StudyPage) -> Notice | None:
    """A finished run that lacks what every run should have."""
    gaps = [name for name in page.missing(view) if name not in page.optional]
    if not view.result or view.status == "failed" or not gaps:
        return None
    return Notice(
        "Parts are missing.", f"The run directory has no table for: {_list(page, gaps)}. Run the study again."
    )
