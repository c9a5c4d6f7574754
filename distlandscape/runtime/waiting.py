"""Waiting for workers, with a look twice a second: was the run asked to stop, and is its Ray still there?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from distlandscape import stopping
from distlandscape.runtime.presence import require_ray

LOOK_SECONDS = 0.5


def wait(references: Sequence[Any], count: int = 1, seconds: float = float("inf")) -> list[Any]:
    """Up to ``count`` references whose results are there, as many as there are after so many seconds.

    Raises:
        Interrupted: the run was asked to stop.
        WorkerFailure: this process's Ray has ended.
    """
    import ray

    ready: list[Any] = []

    def enough(patience: float) -> bool:
        nonlocal ready
        ready, _ = ray.wait(list(references), num_returns=count, timeout=patience)
        return len(ready) >= count

    until(enough, seconds)
    return ready


def get(references: Sequence[Any]) -> list[Any]:
    """Their results; raises what the first that failed did, and as ``wait`` does."""
    import ray

    wait(references, len(references))
    results: list[Any] = ray.get(list(references))
    return results


def until(holds: Callable[[float], bool], seconds: float) -> bool:
    """Whether something holds within so many seconds; ``holds`` waits for it as long as it is told to.

    Raises:
        Interrupted: the run was asked to stop.
        WorkerFailure: this process's Ray has ended.
    """
    end = time.monotonic() + seconds
    while True:
        stopping.look()
        require_ray()
        left = max(0.0, end - time.monotonic())
        if holds(min(left, LOOK_SECONDS)):
            return True
        if left <= LOOK_SECONDS:
            return False
