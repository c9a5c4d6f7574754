"""Whether each class has samples enough, and which keys of the configuration help where one has not."""

from __future__ import annotations

import numpy as np

from distlandscape.config import RunConfig
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime.classes import MIN_SAMPLES, ClassesTooSmall, class_counts

SHOWN = 20  # classes that are listed


def require_class_samples(config: RunConfig, objective: Objective) -> None:
    """Raise InputError where ``class_counts`` does, with keys of the configuration to change; reads the labels."""
    try:
        class_counts(objective)
    except ClassesTooSmall as error:
        raise InputError(f"{error.what}; {_remedy(config, error)}") from error


def _remedy(config: RunConfig, error: ClassesTooSmall) -> str:
    d, counts = config.data, error.counts
    names = d.classes if d.classes is not None else tuple(range(len(counts)))
    large = [names[k] for k in np.flatnonzero(counts >= MIN_SAMPLES)]
    highest = int(np.flatnonzero(counts).max(initial=-1))
    more = "" if d.samples is None else "raise data.samples if the source holds more"
    if highest < len(counts) - 1 and d.classes is None:
        fewer = f"give a model with {highest + 1} outputs, as many as the data have classes"
        return f"{fewer}, or {more}" if more else fewer
    if len(large) < 2:  # data.classes needs two
        return more or "give a source with more samples of each class"
    kept = f"data.classes={large}" if len(large) <= SHOWN else "data.classes to the others"
    return f"{more}, or set {kept}" if more else f"set {kept}"
