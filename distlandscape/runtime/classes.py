"""How many samples each class has, and whether that is enough to speak of classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.objective import Objective

LEAST = 2  # samples of a class: one has no pair, and no spread around its mean


def class_counts(objective: Objective) -> npt.NDArray[np.int64]:
    """(C,) samples of each class; reads the labels, no pass.

    Raises:
        InputError: the loss is not cross_entropy, there is one class, or a class has fewer than two samples.
    """
    if not objective.classification:
        raise InputError(
            "class geometry needs classes, but the loss is not cross_entropy; set objective.loss=cross_entropy, with"
            " whole-number labels"
        )
    C = objective.outputs
    if C < 2:
        raise InputError(f"class geometry needs at least two classes, but the model has {C} logit; give more classes")
    counts = np.zeros(C, dtype=np.int64)
    for block in range(objective.data.blocks):
        counts += np.bincount(objective.data.block(block)[1], minlength=C)
    short = np.flatnonzero(counts < LEAST)
    if len(short):
        listed = ", ".join(map(str, short[:8])) + (", …" if len(short) > 8 else "")
        raise InputError(
            f"class geometry needs at least {LEAST} samples of each of the {C} classes, but of class {listed} there are"
            f" fewer; raise data.samples, or name the classes to keep in data.classes"
        )
    return counts
