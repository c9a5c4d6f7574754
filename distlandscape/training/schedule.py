"""The learning rate, a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from distlandscape.errors import InputError

DROP = 0.1  # of schedule "step", after one half and after three quarters of the steps


def learning_rate_at(step: int, steps: int, peak: float, schedule: str = "constant", warmup_steps: int = 0) -> float:
    """Learning rate of the update that leads from ``step`` to ``step + 1``, of ``steps`` updates in all.

    A linear rise reaches ``peak`` with the update number ``warmup_steps``. "constant" stays there, "cosine" falls along
    half a period to 0 at the end, "step" is a tenth from steps/2 on and a hundredth from 3·steps/4 on.

    Raises:
        InputError: unknown schedule, or the rise takes longer than the training.
    """
    if schedule not in DECAYS:
        raise InputError(f"train.schedule={schedule!r} is unknown; known: {', '.join(DECAYS)}")
    if warmup_steps > steps:
        raise InputError(f"train.warmup_steps={warmup_steps} is more than train.steps={steps}; lower it")
    rise = (step + 1) / warmup_steps if step < warmup_steps else 1.0
    return peak * rise * DECAYS[schedule](step, steps, warmup_steps)


def _constant(step: int, steps: int, warmup_steps: int) -> float:
    return 1.0


def _cosine(step: int, steps: int, warmup_steps: int) -> float:
    if step <= warmup_steps:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps)))


def _step(step: int, steps: int, warmup_steps: int) -> float:
    return DROP ** ((2 * step >= steps) + (4 * step >= 3 * steps))


DECAYS: dict[str, Callable[[int, int, int], float]] = {"constant": _constant, "cosine": _cosine, "step": _step}
