"""Where a run begins that is given the eigenpairs of a nearby operator."""

from __future__ import annotations

import hashlib

import numpy as np

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs
from distlandscape.spectral.known import known_vectors
from distlandscape.spectral.space import Space, Vector

# Norm of the random part, beside 1 of what is known. A hundredth of it saves no further products on digits networks:
# what the operator turned away from the known vectors weighs more. So much finds new outliers without the check.
RANDOM = 1.0


def fresh_seed(seed: int, start: Eigenpairs | None) -> int:
    """The seed of a run's random vectors: its own without ``start``, else one that ``start`` does not depend on.

    The check for missed copies is a statement about a vector that is random given the pairs found. Pairs found with
    the help of earlier ones depend on the vectors that found those: drawn again at the same seed they would miss now
    what they missed then. ``start.seed`` is the seed its own vectors came from, so no two runs of a chain share one.
    """
    if start is None:
        return seed
    digest = hashlib.sha256(f"{seed} after {start.seed}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def warm_vector(space: Space, start: Eigenpairs, top: int, low: int, seed: int) -> Vector:
    """The sum of the K vectors of ``start`` at the wanted ends, over √K, plus a random part of the seed; no pass.

    Raises:
        InputError: pairs of another dimension.
    """
    if start.eigenvectors.shape[1] != space.dim:
        raise InputError(
            f"the pairs to start from have {start.eigenvectors.shape[1]} entries, the operator {space.dim}; take those"
            " of the same model and parameters, or leave start out"
        )
    index = np.arange(len(start.eigenvalues))
    wanted = (index < min(top, start.top)) | (index >= max(start.top, len(index) - low))
    vectors = [*known_vectors(space, start, wanted), space.random(seed, 0, "normal")]
    weights = np.full(len(vectors), 1 / np.sqrt(max(len(vectors) - 1, 1)))
    weights[-1] = RANDOM / np.sqrt(space.dim)
    return space.combine(vectors, weights[None])[0]
