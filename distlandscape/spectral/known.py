"""Eigenpairs found before, as vectors of an operator's space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs
from distlandscape.spectral.rows import SpaceRows
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
    index = np.arange(len(known.eigenvalues)) if chosen is None else np.flatnonzero(chosen)
    if isinstance(known.eigenvectors, SpaceRows):
        return [known.eigenvectors.vectors[i] for i in index]
    return [space.from_numpy(known.eigenvectors[i].numpy()) for i in index]
