"""Certification of a Lanczos run by one extra product."""

from __future__ import annotations

import numpy as np

from distlandscape.results import Trust
from distlandscape.spectral.block import BlockLanczos
from distlandscape.spectral.lanczos import Lanczos
from distlandscape.spectral.probes import probe_entries

CERTIFICATE = 2**60  # probe number of the random combination


def certify(run: Lanczos | BlockLanczos) -> Trust:
    """Check the Lanczos relation on a random combination c of the whole basis; one pass.

    ‖H(Qc) − Q T c − β c_m q_{m+1}‖ at rounding level certifies that products repeat and that T is what they make of the
    basis, so that the bounds β|s| mean something. Residuals are all multiples of q_{m+1} (of a block run: in the span
    of the block behind), so a sum of Ritz pairs would certify nothing: c must be random.

    It is one sample of the defect, on average over the basis. A Ritz vector may weigh just those steps that were
    rounded most, and is rounded itself where it is stored, so the defect can be far below what a single pair has got:
    ``convergence.stated`` says what is stated at least.
    """
    space, locked, rank = run.operator.space, run.locked, run.rank
    c = probe_entries(run.seed, CERTIFICATE, "normal", 0, rank)
    c /= np.linalg.norm(c)
    padded = np.zeros(run.basis.size)
    padded[locked : locked + rank] = c
    combination, expected = run.basis.combine(np.stack([padded, run.image(c)]))
    product = run.operator.apply([combination])[0]
    difference = space.combine([product, expected], np.array([[1.0, -1.0]]))[0]
    norm = float(np.max(np.abs(run.ritz().values)))
    scale = norm or 1.0  # the zero operator has no scale
    return Trust(
        relation=float(np.sqrt(space.dots([difference], [difference])[0, 0])) / scale,
        # One sweep only: the coefficients of two sweeps differ from c by the square of what is to be measured.
        orthogonality=float(np.linalg.norm(run.basis.dots(combination) - padded)),
        symmetry=float(run.recurrence.symmetry / scale),
        norm=norm,
    )
