"""How a model and a loss want to be called, found out before anything is measured; and that they fit the data."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from distlandscape.errors import InputError
from distlandscape.objective.failures import is_out_of_memory
from distlandscape.objective.targets import check_targets
from distlandscape.objective.trial import ROWS, Habits, Trial

if TYPE_CHECKING:
    from distlandscape.objective.objective import Objective

__all__ = ["Habits", "find_habits"]

TOGETHER = 64  # samples that are tried together, so that what looks at a batch as a whole has something to see


def find_habits(objective: Objective, guard: contextlib.AbstractContextManager[object]) -> tuple[Habits, int]:
    """Run model and loss on samples from all over the data, together, again, and some of them alone; and C.

    Cost: a forward pass of up to 64 samples, and four of 8; for images two derivatives of two samples.

    Args:
        objective: whose model and loss are tried.
        guard: entered whenever the model runs.

    Raises:
        InputError: the model does not take the samples, its output is no logits or not a function of each sample
            alone, it changes its own weights, or targets and loss do not fit.
    """
    for count in (TOGETHER, ROWS, 1):
        try:
            return _habits(Trial(objective, min(count, objective.samples), guard))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
    raise InputError("one sample does not fit into memory; take a smaller model, or a machine with more of it")


def _habits(trial: Trial) -> tuple[Habits, int]:
    habits, logits = trial.accepted()
    check_targets(trial.objective, logits.shape[1])
    losses, writes = trial.losses(logits)
    habits = replace(habits, loss_writes=writes)
    trial.require_one_function(habits, logits, losses)
    return replace(habits, channels_last=trial.takes_channels_last(habits, logits)), int(logits.shape[1])
