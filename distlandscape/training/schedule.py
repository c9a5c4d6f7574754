"""The learning rate as a pure function of the step, so that a resumed training needs no schedule's state."""

from __future__ import annotations

import math


def learning_rate(step: int, *, base: float, schedule: str, steps: int, warmup: int) -> float:
    """Learning rate of step ``step`` of 0 … steps − 1.

    Args:
        step: number of the step.
        base: the value after the warm-up.
        schedule: "constant"; "cosine": down to 0 at the end (Loshchilov & Hutter 2017); "step": a tenth of it after
            half, and again after three quarters of the steps.
        steps: number of steps in all.
        warmup: steps over which it rises in equal parts to its value.
    """
    if step < warmup:
        return base * (step + 1) / warmup
    if schedule == "cosine":
        return base * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
    if schedule == "step":
        return base * 0.1 ** ((2 * step >= steps) + (4 * step >= 3 * steps))
    return base
