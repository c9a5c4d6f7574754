"""From a job to its run directory."""

from __future__ import annotations

from pathlib import Path

from distlandscape.errors import InputError
from distlandscape.record.run import Run


def run_of(job_id: str, out: Path) -> Run | None:
    """The run in the folder ``out`` that a job worked on last, or None where this machine sees none."""
    found = None
    for file in sorted(out.glob("*/run.json")):
        try:
            run = Run.open(file.parent)
            started = run.log.events("started")
        except (InputError, OSError):
            continue
        if any(event.get("job") == job_id for event in started):
            found = run
    return found
