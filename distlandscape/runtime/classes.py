"""How many samples each class has, and whether that is enough to speak of classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.objective import Objective

MIN_SAMPLES = 2  # samples of a class: one has no pair, and no spread around its mean


class ClassesTooSmall(InputError):
    """Some classes have too few samples.

    Attributes:
        what: which, without a remedy.
        counts: (C,) samples of each class.
    """

    def __init__(self, counts: npt.NDArray[np.int64]) -> None:
        short = np.flatnonzero(counts < MIN_SAMPLES)
        listed = ", ".join(map(str, short[:8])) + (", …" if len(short) > 8 else "")
        self.what = (
            f"class geometry needs at least {MIN_SAMPLES} samples of each of the {len(counts)} classes, but of class"
            f" {listed} there are fewer"
        )
        self.counts = counts
        super().__init__(f"{self.what}; give more samples of them, or leave these classes and their outputs out")

    def __reduce__(self) -> tuple[type[ClassesTooSmall], tuple[npt.NDArray[np.int64]]]:
        return type(self), (self.counts,)


def class_counts(objective: Objective) -> npt.NDArray[np.int64]:
    """(C,) samples of each class; reads the labels, no pass.

    Raises:
        InputError: the loss is not cross_entropy.
        ClassesTooSmall: a class has fewer than two samples.
    """
    if not objective.classification:
        raise InputError(
            "class geometry needs classes, but the loss is not cross_entropy; set objective.loss=cross_entropy, with"
            " whole-number labels"
        )
    C = objective.outputs
    counts = np.zeros(C, dtype=np.int64)
    for block in range(objective.data.blocks):
        counts += np.bincount(objective.data.block(block)[1], minlength=C)
    if (counts < MIN_SAMPLES).any():
        raise ClassesTooSmall(counts)
    return counts
