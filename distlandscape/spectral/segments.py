"""How every vector is cut, whatever holds it: a function of P alone, so that every reduction has one fixed order."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

MAX_SEGMENTS = 64  # the most workers a vector can be sharded over
MIN_SEGMENTS = 4
ENTRIES = 512  # below this a segment costs more in calls than in arithmetic
ALIGN = 16  # entries; keeps every segment on a 64-byte boundary in float32


@dataclass(frozen=True)
class Segments:
    """The fixed cut of P entries into a power of two of segments; the last ones may be short or empty."""

    dim: int

    @property
    def count(self) -> int:
        """Number of segments, a power of two."""
        wanted = max(MIN_SEGMENTS, min(MAX_SEGMENTS, self.dim // ENTRIES))
        return 1 << (wanted.bit_length() - 1)

    @property
    def length(self) -> int:
        """Entries of a full segment."""
        return -(-self.dim // (self.count * ALIGN)) * ALIGN

    def bounds(self, segment: int) -> tuple[int, int]:
        """First entry and one past the last of a segment."""
        return min(segment * self.length, self.dim), min((segment + 1) * self.length, self.dim)

    def share(self, slices: int, index: int) -> range:
        """The consecutive segments of slice ``index`` out of ``slices``."""
        return range(index * self.count // slices, (index + 1) * self.count // slices)


def tree_sum(partials_S: Tensor) -> Tensor:
    """Sum over the first axis (a power of two) along the fixed binary tree: neighbours first."""
    while len(partials_S) > 1:
        partials_S = partials_S[0::2] + partials_S[1::2]
    return partials_S[0]
