"""What the density figures draw, PNG and page alike: panels with smoothed curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.report.tables import Array, Nodes, RunView

# Bandwidths, as parts of a panel's range.
SPIKE = 0.003  # around a bulk that is a mere spike: narrow, or the spike would hide outliers near it
BULK = 0.02  # within the bulk, where the nodes of one draw stand about this far apart
BULK_SHARE = 0.998  # of the weight of the draws lies in the bulk's panel
SPIKE_WIDTH = 0.3  # a bulk wider than this part of the whole range is readable there
POINTS = 1500


@dataclass(frozen=True, eq=False)
class Panel:
    """One view of the density on ``grid`` (g,), per unit of eigenvalue.

    Attributes:
        mean: (g,) average over the draws.
        low: (g,) smallest of the draws.
        high: (g,) largest of the draws.
        one: height of a single eigenvalue smoothed alike; None where P is unknown.
        floor: where the axis begins; less than a fifth of one eigenvalue lies below.
    """

    kind: str
    grid: Array
    mean: Array
    low: Array
    high: Array
    draws: int
    bandwidth: float
    relative: float
    one: float | None
    floor: float

    @property
    def ceiling(self) -> float:
        """Where the axis ends."""
        return 3 * float(max(self.high.max(), 10 * self.floor))


def density_panels(view: RunView) -> list[Panel]:
    """The whole range and, where it would be a mere spike there, the bulk enlarged."""
    if view.density is None:
        return []
    known = [pairs.values for pairs in (view.top, view.lowest) if pairs is not None]
    everything = np.concatenate([view.density.node, *known])
    left, right = float(everything.min()), float(everything.max())
    bulk = bulk_range(view)
    if bulk is None or not 0 < bulk[1] - bulk[0] < SPIKE_WIDTH * (right - left):
        return [panel("whole", view.density, view.parameters, left, right, BULK)]
    return [
        panel("whole", view.density, view.parameters, left, right, SPIKE),
        panel("bulk", view.density, view.parameters, *bulk, BULK),
    ]


def bulk_range(view: RunView) -> tuple[float, float] | None:
    """Where nearly all the weight of the draws lies, and what is known one by one below the C − 1 largest."""
    assert view.density is not None
    drawn = view.density.draw >= 0
    if not drawn.any():
        return None
    order = np.argsort(view.density.node[drawn])
    node, weight = view.density.node[drawn][order], view.density.weight[drawn][order]
    below = np.cumsum(weight) / weight.sum()
    tail = (1 - BULK_SHARE) / 2
    first, last = np.searchsorted(below, [tail, 1 - tail])
    inside = [node[first], node[min(int(last), len(node) - 1)]]
    if view.lowest is not None:
        inside.append(view.lowest.values[0])
    if view.top is not None and view.classes is not None:
        inside += list(view.top.values[view.classes - 1 :])
    return float(min(inside)), float(max(inside))


def panel(kind: str, nodes: Nodes, parameters: int | None, left: float, right: float, relative: float) -> Panel:
    """The density between two eigenvalues, with a bandwidth relative to their distance."""
    width = right - left or max(abs(left), 1.0)
    bandwidth = relative * width
    grid = np.linspace(left - 4 * bandwidth, right + 4 * bandwidth, POINTS)
    curves = draw_curves(nodes, grid, bandwidth)
    mean = curves.mean(axis=0)
    peak = 1 / (bandwidth * np.sqrt(2 * np.pi))
    one = None if parameters is None else float(peak / parameters)
    floor = one / 5 if one is not None else float(mean.max()) * 1e-6
    # A logarithmic axis has no place for 0, and what is far below the axis need not be told apart.
    mean, low, high = (np.maximum(curve, floor / 10) for curve in (mean, curves.min(axis=0), curves.max(axis=0)))
    return Panel(kind, grid, mean, low, high, len(curves), bandwidth, relative, one, floor)


def draw_curves(nodes: Nodes, grid: Array, bandwidth: float) -> Array:
    """(D, g) density as each draw alone sees it; known eigenvalues belong to all of them."""
    draws = [d for d in np.unique(nodes.draw) if d >= 0]
    atoms = _smooth(nodes, nodes.draw < 0, grid, bandwidth)
    if not draws:
        return atoms[None, :]
    return np.stack([atoms + len(draws) * _smooth(nodes, nodes.draw == d, grid, bandwidth) for d in draws])


def _smooth(nodes: Nodes, mine: npt.NDArray[np.bool_], grid: Array, bandwidth: float) -> Array:
    z = (grid[:, None] - nodes.node[mine][None, :]) / bandwidth
    kernel = np.exp(-0.5 * z**2) / (bandwidth * np.sqrt(2 * np.pi))
    return np.asarray(kernel @ nodes.weight[mine])
