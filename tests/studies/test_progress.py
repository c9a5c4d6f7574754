"""The expected end: what is done, finished or under way, against what was planned."""

from __future__ import annotations

import os
import sys

import pytest

from distlandscape import stopping
from distlandscape.errors import Interrupted
from distlandscape.studies import progress as module
from distlandscape.studies.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def last(capfd):
    return capfd.readouterr().err.splitlines()[-1]


def test_steps_of_the_part_under_way_count_and_are_not_counted_twice(clock, capfd):
    with Progress() as progress:
        progress.plan(100)
        for step in range(1, 21):
            clock[0] = 6.0 * step
            progress.step(f"step {step}")
        assert last(capfd) == "step 20 · 120 s, about 480 s left"
        progress.tick(30)  # the part was 30 units in all
        clock[0] = 180.0
        progress.update("next")
        assert last(capfd) == "next · 180 s, about 420 s left"
        progress.tick(20, planned=50)  # what is left is 20, not 50
        clock[0] = 200.0
        progress.update("shorter")
        assert last(capfd) == "shorter · 200 s, about 80 s left"
        progress.tick(80)
        clock[0] = 210.0
        progress.update("more than was planned")
        assert last(capfd) == "more than was planned · 210 s"


def test_a_plain_line_every_few_seconds(clock, capfd):
    with Progress() as progress:
        for tenth in range(200):
            clock[0] = tenth / 10
            progress.update("working")
    assert len(capfd.readouterr().err.splitlines()) == 3


def test_who_looks_on_is_told_at_most_every_two_seconds(clock):
    told = []
    with Progress(told.append) as progress:
        progress.workers = lambda: 3
        progress.plan(40)
        for second in range(6):
            clock[0] = 1.0 * second
            progress.step(f"step {second}")
    assert [now["now"] for now in told] == ["step 0", "step 2", "step 4", "step 5"], "and once more at the end"
    assert told[-2] == {"now": "step 4", "done": 5.0, "planned": 40, "left": 28.0, "workers": 3}
    assert told[-1]["done"] == 6


def test_a_reader_that_ends_first_interrupts_the_run_once(clock, monkeypatch):
    """As in ``distlandscape spectrum 2>&1 | head -1``: the run can be resumed, and its end is written in silence."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as closed:
        monkeypatch.setattr(sys, "stderr", closed)
        progress = Progress()
        clock[0] = 100.0
        with stopping.noting():
            with pytest.raises(Interrupted, match="nobody reads"):
                progress.update("working")
            progress.say("the run can be resumed")
        nowhere = os.open(os.devnull, os.O_WRONLY)  # for what is left in the buffer
        os.dup2(nowhere, writing)
        os.close(nowhere)
