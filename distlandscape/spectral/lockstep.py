"""Several Lanczos runs side by side: one pass over the data serves a step of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distlandscape.spectral.journal import Journal
from distlandscape.spectral.lanczos import Lanczos
from distlandscape.spectral.space import Space

BYTES = 2**31  # of all bases that are held at once; more runs go one group after the other


def group_size(space: Space, vectors: int) -> int:
    """How many runs of so many basis vectors go side by side; a function of the space alone, so that runs repeat."""
    entry = 8 if space.eps < np.finfo(np.float32).eps else 4
    return max(1, BYTES // (entry * space.dim * vectors))


def advance(runs: Sequence[Lanczos], journal: Journal) -> int:
    """Step every run until it is full or its Krylov space has ended; returns the passes of an undisturbed advance.

    Each run does what it would do alone, to the bit where the operator's products do not depend on the vectors beside
    them. What was restored from the journal may be uneven: whoever lacks steps takes them.

    Raises:
        FloatingPointError: a product is not finite.
    """
    while going := [run for run in runs if not (run.full or run.closed)]:
        products = going[0].operator.apply([run.basis[-1] for run in going])
        for run, product in zip(going, products, strict=True):
            run.step(product)
        last = going[-1]
        journal.progress(last.name, last.steps, f"{_names(runs)}, step {last.steps} of {last.capacity}")
    return max(run.steps for run in runs)


def _names(runs: Sequence[Lanczos]) -> str:
    """The draws in the words of the journal, counted from 1."""
    first, last = (int(run.name.split("-")[-1]) + 1 for run in (runs[0], runs[-1]))
    return f"draw {first}" if first == last else f"draws {first}–{last}"
