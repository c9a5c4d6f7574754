"""Eigenpairs found before, as vectors of an operator's space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs
from distlandscape.spectral.space import Space, Vector


def known_vectors(space: Space, known: Eigenpairs | None, chosen: npt.NDArray[np.bool_] | None = None) -> list[Vector]:
    """The (chosen) eigenvectors; none where nothing is known.

    Raises:
        InputError: pairs of another dimension.
    """
    if known is None:
        return []
    if known.eigenvectors.shape[1] != space.dim:
        raise InputError(
            f"known pairs have {known.eigenvectors.shape[1]} entries, the operator {space.dim}; use its own"
        )
    rows = known.eigenvectors if chosen is None else known.eigenvectors[chosen]
    return [space.from_numpy(v.numpy()) for v in rows]
