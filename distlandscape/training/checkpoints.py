"""At which steps something is kept: weights, and the loss of the mini-batch."""

from __future__ import annotations

import numpy as np


def checkpoint_steps(steps: int, count: int) -> list[int]:
    """Steps at which weights are kept: the last alone, or 0 and the others evenly spaced in log(step)."""
    if count == 1 or steps == 0:
        return [steps]
    spaced = np.round(np.geomspace(1, steps, count - 1)) if count > 2 else np.empty(0)
    return sorted({0, *map(int, spaced), steps})


def curve_steps(steps: int, rows: int = 2000) -> list[int]:
    """At most so many steps of 1…steps for a curve: all, or half of them evenly spaced and half in log(step)."""
    if steps <= rows:
        return list(range(1, steps + 1))
    half = rows // 2
    spaced = np.concatenate([np.geomspace(1, steps, half), np.linspace(1, steps, half)])
    return sorted({*map(int, np.round(spaced))})
