"""The stages of a run: which one is under way, and what those that ended found."""

from __future__ import annotations

from typing import Any

from distlandscape.record.run import Run
from distlandscape.report.numbers import number, with_error

HIDDEN = {"seed", "tol", "top", "trust", "dim"}  # settings, and what has a place of its own
SHOWN = 8  # numbers of a stage


def stage_under_way(run: Run) -> str | None:
    """The newest stage that has begun and is not committed; training has none of its own before it ends."""
    begun = [str(event["name"]) for event in run.log.events("begun")]
    open_ = [name for name in begun if name not in run.stages()]
    if open_:
        return open_[-1]
    return "training" if run.log.events("training") and "train" not in run.stages() else None


def stages_done(run: Run) -> list[list[str]]:
    """Name, time it took and numbers of each, the newest first."""
    began = {event["name"]: float(event["time"]) for event in run.log.events("begun")}
    rows = []
    for event in reversed(run.log.events("stage")):
        name = str(event["name"])
        took = f"{float(event['time']) - began[name]:.1f} s" if name in began else "–"
        rows.append([name, took, "; ".join(_numbers(event["values"]))])
    return rows


def _numbers(values: dict[str, Any]) -> list[str]:
    told = [(name, _told(value)) for name, value in values.items() if name not in HIDDEN]
    return [f"{name.replace('_', ' ')} {text}" for name, text in told if text][:SHOWN]


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("value"), float) and isinstance(value.get("stderr"), float):
        return with_error(value["value"], value["stderr"])
    return ""
