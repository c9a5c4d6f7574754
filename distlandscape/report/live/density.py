"""The spectral density as the draws of a stage under way tell it so far."""

from __future__ import annotations

import dataclasses

import numpy as np

from distlandscape.record.run import Run
from distlandscape.report.live.recurrences import LanczosRun, lanczos_runs
from distlandscape.report.tables import Nodes, RunView

STAGE = "density"


def draws_under_way(run: Run) -> list[LanczosRun]:
    """Draws of the density, in their order; none where its stage has not begun, or is committed."""
    if STAGE in run.stages():
        return []
    found = [one for one in lanczos_runs(run.log.events("steps")) if one.stage == STAGE]
    return sorted(found, key=lambda one: int(one.name.split("-")[-1]))


def density_so_far(run: Run, view: RunView) -> RunView:
    """The view with the quadrature of the committed steps; as it was where no draw is under way.

    A draw sees the complement of the eigenvalues that are known one by one; those stand as atoms of weight 1/P.
    """
    draws = draws_under_way(run)
    if not draws:
        return view
    pairs = [pairs for pairs in (view.top, view.lowest) if pairs is not None]
    known = np.concatenate([np.empty(0), *(p.values[p.converged] for p in pairs)])
    dims = [event["dim"] for event in run.log.events("begun") if event["name"] == STAGE and "dim" in event]
    # Without P, or the eigenvalues that the draws stay away from, nothing tells how much those weigh.
    atoms = known if dims and len(known) == draws[0].stretches[0].locked else np.empty(0)
    share = (dims[-1] - len(atoms)) / dims[-1] / len(draws) if len(atoms) else 1 / len(draws)
    draw, node, weight = [np.full(len(atoms), -1)], [atoms], [np.full(len(atoms), 1 / dims[-1] if len(atoms) else 0.0)]
    for number, one in enumerate(draws):
        recurrence = one.stretches[0]
        ritz = recurrence.ritz(recurrence.invariant or recurrence.rank)
        draw.append(np.full(len(ritz.values), number))
        node.append(ritz.values)
        weight.append(share * ritz.first**2)
    return dataclasses.replace(view, density=Nodes(*(np.concatenate(x) for x in (draw, node, weight))))
