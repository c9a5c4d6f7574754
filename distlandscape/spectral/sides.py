"""One end of the spectrum in the check for missed copies: whether a run has shown all that lies beyond the edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distlandscape.spectral.lanczos import Lanczos, Ritz
from distlandscape.spectral.share import log_probability
from distlandscape.spectral.stopping import residual_aims, residual_bounds

ACCEPTED = 1e-3  # probability of a missed copy at which the check is content
RESOLUTION = 1e-2  # of ‖H‖ beyond the edge: what lies further out is excluded at that probability in any case


@dataclass(frozen=True)
class Edge:
    """The innermost reported eigenvalue of an end.

    Attributes:
        sign: +1 for the upper end, −1 for the lower.
        value: the eigenvalue.
        slack: how far beyond it a value has to lie to count as another one.
        margin: how far beyond it one is excluded where the next value inward has converged.
    """

    sign: float
    value: float
    slack: float
    margin: float

    @classmethod
    def of(cls, sign: float, value: float, tol: float, eps: float, norm: float) -> Edge:
        """By the tolerance and ‖H‖."""
        slack = float(residual_bounds(np.array([value]), tol, eps, norm)[0])
        return cls(sign, value, slack, max(slack, RESOLUTION * norm) or 1.0)  # the zero operator has no scale

    @property
    def points(self) -> tuple[float, float]:
        """Where bounds are asked for."""
        return self.value, self.value + self.sign * self.margin


class Side:
    """What the Ritz values of a run say of one end.

    Attributes:
        beyond: indices of those that lie beyond the edge.
        probability: bound on that of an eigenvalue beyond the edge that has not shown, once ``decided`` was asked.
    """

    def __init__(self, ritz: Ritz, tol: float, eps: float, norm: float, edge: Edge) -> None:
        # What leaks into the pairs found before is as large as they left it, and no step of this run makes it smaller:
        # what is more than half of the bound is taken out when they are put together.
        aims = residual_aims(ritz.values, tol, eps, norm)
        self._good = np.hypot(ritz.outside, np.minimum(np.linalg.norm(ritz.leaks, axis=0), aims / 2)) <= aims
        self.edge, outwards = edge, edge.sign * ritz.values
        self.beyond = [int(j) for j in np.flatnonzero(outwards - edge.sign * edge.value > edge.slack)]
        self._outermost = int(np.argmax(outwards))
        self._outermost_value = float(ritz.values[self._outermost])
        self.probability = 0.0

    def decided(self, run: Lanczos) -> bool:
        """Values beyond the edge have converged, or none is there.

        Either one at the edge would have shown by now, or the next value inward converged and one clearly further out
        would have shown: convergence alone can be that of a start vector that happens to lie in the bulk.
        """
        if self.beyond:
            return run.exhausted or bool(self._good[self.beyond].all())
        if run.exhausted:
            return True
        at_edge, further = self.edge.points
        self.probability = self._hidden(run, at_edge)
        if self.probability <= ACCEPTED:
            return True
        return bool(self._good[self._outermost]) and self._hidden(run, further) <= ACCEPTED

    def _hidden(self, run: Lanczos, point: float) -> float:
        """Bound on the probability that an eigenvalue at ``point`` or further out has not shown so far."""
        if self.edge.sign * (point - self._outermost_value) <= 0:
            return 1.0
        return float(np.exp(log_probability(run, point)))
