"""What a sweep shows of itself while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distlandscape.record.run import Run
from distlandscape.studies import sweep as module
from distlandscape.studies.progress import Progress
from distlandscape.studies.sweep import Sweep


@dataclass(frozen=True)
class Trial:
    key: str
    seeds: tuple[int, ...] = (0, 1)


class InTurn:
    """A runner that does one task after the other."""

    workers = 0

    def map_tasks(self, function: Callable[[Any], Any], items: Sequence[Any], done: Callable[[int, Any], None]) -> None:
        for index, item in enumerate(items):
            done(index, function(item))


def outcome(trial: Trial) -> dict[str, Any]:
    return {"key": trial.key, "members": [{}] * len(trial.seeds)}


@pytest.mark.parametrize(("seconds", "written"), [(0.0, [1, 2, 3]), (1000.0, [])])
def test_tables_are_written_on_the_way_at_a_modest_rate(
    seconds: float, written: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TABLES_SECONDS", seconds)
    monkeypatch.setattr(module, "COST_SHARE", 1e9)
    run, seen = Run.create(tmp_path, "hyperplane", {}, {}), []
    runner: Any = InTurn()
    with Progress(run.write_progress) as progress:
        progress.plan(6)
        sweep = Sweep(run, runner, outcome, progress, write_tables=lambda outcomes: seen.append(len(outcomes)))
        sweep.complete([Trial("a"), Trial("b"), Trial("c")])
    assert seen == written
    assert [event["key"] for event in run.log.events("trial")] == ["a", "b", "c"]
    assert run.progress["planned"] == 6
    assert run.progress["done"] == 6
