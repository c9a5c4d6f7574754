"""Memory that the C library holds in reserve."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

from distlandscape.runtime import memory


def test_trimming_takes_at_most_a_hundredth_of_the_time(monkeypatch):
    now, calls = [0.0], []

    def trim(pad):
        calls.append(now[0])
        now[0] += 0.05

    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now[0]))
    trimmer = memory.Trimmer()
    trimmer._trim = trim
    for _ in range(1000):
        trimmer()
        now[0] += 0.02
    assert len(calls) == 4  # in 20 s: at 0 and every 5.05 s
    assert all(later - sooner >= 5 for sooner, later in pairwise(calls))


def test_without_glibc_nothing_happens():
    trimmer = memory.Trimmer()
    trimmer._trim = None
    trimmer()
    assert trimmer._not_before == 0
