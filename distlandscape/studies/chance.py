"""What answers without looking at the samples would get right, and whether accuracies beat that.

The rule: the mean accuracy in full space has to exceed chance c, the share of the largest class among the n evaluated
samples, by more than ``ERRORS`` standard errors. The error has two independent parts: the binomial one of the samples,
√(c(1 − c)/n), which more trainings do not lessen since all are evaluated on the same samples; and that of a mean over
the trainings, their standard deviation over √seeds. Two errors, as the verdicts of the emergence study ask for: a
network at chance passes in about one case of forty, where one error would let one of six pass.
A threshold that is a share of the baseline has to exceed chance, too: else every plane reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ERRORS = 2.0


@dataclass(frozen=True)
class Chance:
    """The best accuracy of a constant answer.

    Attributes:
        share: of the largest class among the evaluated samples.
        samples: how many are evaluated.
    """

    share: float
    samples: int

    @classmethod
    def of(cls, labels: npt.NDArray[np.generic]) -> Chance:
        """Of labels (n,), n at least 1."""
        _, counts = np.unique(labels, return_counts=True)
        return cls(float(counts.max() / len(labels)), len(labels))

    def error(self, accuracies: Sequence[float]) -> float:
        """Standard error of the mean of some trainings' accuracies less chance; see the rule above."""
        binomial = self.share * (1 - self.share) / self.samples
        spread = np.var(accuracies, ddof=1) / len(accuracies) if len(accuracies) > 1 else 0.0
        return math.sqrt(binomial + spread)

    def beaten_by(self, accuracies: Sequence[float]) -> bool:
        """Whether their mean exceeds chance by more than its error allows."""
        return float(np.mean(accuracies)) - self.share > ERRORS * self.error(accuracies)

    def why_nothing_to_reach(self, baseline: Sequence[float], share: float) -> str:
        """Why ``share`` of the mean accuracy in full space is nothing to reach; empty where it is something."""
        mean, constant = float(np.mean(baseline)), f"{100 * self.share:.1f} %"
        if not self.beaten_by(baseline):
            return (
                f"the full space's {100 * mean:.1f} % do not exceed the {constant} of a constant answer by {ERRORS:g}"
                f" standard errors of {100 * self.error(baseline):.1f} %"
            )
        if share * mean <= self.share:
            return (
                f"{100 * share:.0f} % of the full space's {100 * mean:.1f} % are no more than the {constant} of a"
                " constant answer"
            )
        return ""
