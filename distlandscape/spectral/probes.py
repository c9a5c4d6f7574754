"""Random vectors whose entries are a pure function of (seed, probe, global index).

Probe numbers are kept apart by their highest bit, so that no two uses share a vector: below 2⁵⁸ the start vectors of
Lanczos runs, and from 2³² up those that continue a run after a breakdown (lanczos.FRESH); the vectors that span a plane
(plane.PLANE), the draws of a density (density.DRAW), the certificate (certify.CERTIFICATE), the check for copies
(copies.CHECK), sign probes (trace.PROBE), the rescaled trace (sharpness.PROBE), the test vectors of XTrace
(xtrace.NORMAL). Projections of trainings (training/projections/draws.py) have the numbers around 2⁵⁸.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.spectral.space import ProbeKind

WORDS = 4  # Philox makes four 64-bit words at every count


def probe_entries(seed: int, probe: int, kind: ProbeKind, start: int, stop: int) -> npt.NDArray[np.float64]:
    """Entries start…stop of probe vector number ``probe``: standard normals or signs ±1.

    Raw words of a counter-based generator (Philox 4×64, Salmon et al. 2011) are turned into normals by Box–Muller,
    because library normals consume a varying number of words and so cannot be indexed. Entries 2i and 2i+1 share a
    pair of words.

    Raises:
        InputError: a negative seed or one of more than 64 bits.
    """
    if not 0 <= seed < 2**64:
        raise InputError(f"seed={seed} must be a whole number from 0 to 2⁶⁴ − 1; correct it")
    if stop <= start:
        return np.empty(0)
    first = start - start % 2
    words = raw_words(seed, probe, first, stop + (stop - first) % 2)
    if kind == "sign":
        entries = np.where(words >> np.uint64(63), 1.0, -1.0)
    else:
        uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        radius = np.sqrt(-2.0 * np.log(uniform[0::2]))
        angle = 2.0 * np.pi * uniform[1::2]
        entries = np.empty(len(words))
        entries[0::2] = radius * np.cos(angle)
        entries[1::2] = radius * np.sin(angle)
    return entries[start - first : stop - first]


def raw_words(seed: int, probe: int, start: int, stop: int) -> npt.NDArray[np.uint64]:
    """64-bit words start…stop of the stream keyed by (seed, probe)."""
    generator = np.random.Philox(key=np.array([seed, probe], dtype=np.uint64))
    counts, skip = divmod(start, WORDS)
    generator.advance(counts)
    return generator.random_raw(stop - start + skip)[skip:]
