"""How a run is: whether it goes on, what it is at, how far it is and when it should end."""

from __future__ import annotations

import time

from distlandscape.record.lease import halted, held
from distlandscape.record.run import Run
from distlandscape.report.live.pursuit import Pursuit
from distlandscape.report.live.stages import stage_under_way
from distlandscape.report.plotly_json import Json
from distlandscape.report.tables import RunView


def status_of(run: Run, now: RunView, found: Pursuit | None) -> Json:
    """One line on how the run is, whether it goes on, and what is known of its course."""
    if now.status != "running":
        detail = now.detail.rstrip(".")
        headline = f"The run has ended ({now.status}): {detail}." if detail else f"The run has ended ({now.status})."
        return _state(headline, [("Status", now.status)], run)
    alive, started = held(run.path), run.log.events("started")
    told = run.progress
    if told and started and float(told["time"]) < float(started[-1]["time"]):
        told = {}  # of an earlier attempt
    stage = stage_under_way(run)
    facts = [("Status", "running" if alive else "cut off")]
    facts += [] if stage is None else [("Stage", stage)]
    facts += [] if found is None else [("Lanczos", found.words)]
    facts += _progress(told, alive)
    if not alive:
        return _state("No process works on this run now: it was cut off, and can be resumed.", facts, run)
    if started:
        facts.append(("Running for", duration(max(0.0, time.time() - float(started[-1]["time"])))))
        facts += _workers(told, started[-1].get("workers"))
    lanczos = found.words if found is not None and not found.ended else ""
    doing = str(told.get("now") or "") or stage or lanczos or "it has begun"
    stopped = halted(run.path)
    if stopped is not None:
        facts[0] = ("Status", "stopped")
        words = f"The run stands still: its process {stopped} was stopped; it goes on with: kill -CONT {stopped}"
        return _state(words, facts, run, True)
    share = min(1.0, told["done"] / told["planned"]) if told.get("planned") else None
    return _state(f"The run goes on: {doing}.", facts, run, True, share)


def _state(
    headline: str, facts: list[tuple[str, str]], run: Run, going: bool = False, share: float | None = None
) -> Json:
    trials = sum(len(event["outcome"]["members"]) for event in run.log.events("trial"))
    more = [("Trainings and points", f"{trials:,} done")] if trials else []
    facts = [*facts, *more, ("Run directory", str(run.path))]
    return {"status": run.status, "going": going, "headline": headline, "facts": facts, "share": share}


def _progress(told: Json, alive: bool) -> list[tuple[str, str]]:
    if not told:
        return []
    facts = []
    if told.get("planned"):
        facts.append(("Done", f"{told['done']:,.0f} of about {told['planned']:,.0f} units of work"))
    if told.get("left") is not None and alive:
        end = float(told["time"]) + float(told["left"])
        facts.append(("Expected end", f"{clock(end)}, in {duration(max(0.0, end - time.time()))}"))
    facts.append(("Last news", f"{duration(max(0.0, time.time() - float(told['time'])))} ago"))
    return facts


def _workers(told: Json, wanted: int | None) -> list[tuple[str, str]]:
    if told.get("workers") is not None:
        return [("Workers", f"{told['workers']} alive of {wanted}")]
    return [("Workers", "none: it computes in its own process")] if wanted == 0 else []


def clock(moment: float) -> str:
    """A time of day on this machine, with the day where it is another one."""
    then = time.localtime(moment)
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours in words."""
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{hours:.1f} h"
