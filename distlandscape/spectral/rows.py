"""Vectors that stay where their space keeps them, sharded over workers, instead of being gathered in the driver."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distlandscape.spectral.space import Array, Space, Vector


class SpaceRows:
    """(k, P) rows of a space; they live as long as the generation of workers that holds them.

    Attributes:
        space: theirs.
        vectors: k vectors of it.
        shape: (k, P).
    """

    def __init__(self, space: Space, vectors: Sequence[Vector]) -> None:
        self.space, self.vectors = space, list(vectors)
        self.shape = (len(self.vectors), space.dim)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: slice) -> SpaceRows:
        return SpaceRows(self.space, self.vectors[index])

    def dots(self, other: SpaceRows | Tensor) -> Array:
        """(k, l) inner products with rows of the same space, or with a tensor (l, P), in float64."""
        others = (
            other.vectors if isinstance(other, SpaceRows) else [self.space.from_numpy(row.numpy()) for row in other]
        )
        return self.space.dots(self.vectors, others)

    def gather(self) -> Tensor:
        """The rows as a tensor (k, P) in the driver, one after another."""
        rows: Tensor | None = None
        for index, vector in enumerate(self.vectors):
            row = torch.from_numpy(np.asarray(self.space.to_numpy(vector)))
            rows = row.new_empty(self.shape) if rows is None else rows
            rows[index] = row
        return rows if rows is not None else torch.empty(self.shape, device="cpu")
