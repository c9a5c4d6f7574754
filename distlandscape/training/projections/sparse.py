"""Planes with few entries a column: very sparse random ones, and hashed ones with disjoint supports."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from distlandscape.spectral.probes import raw_words
from distlandscape.training.projections.base import Projection
from distlandscape.training.projections.dense import CHUNK, MEMORY
from distlandscape.training.projections.draws import INDEX, SIGN, generator, signs

ENTRY_BYTES = 5  # a row number and a sign


class Sparse(Projection):
    """About √P entries ±1/√s a column, one in each of s equal ranges of rows (after Li, Hastie, Church 2006).

    One entry a range makes the rows of a column distinct and its norm exactly 1. Entry (j, r) is word j·s + r of the
    seed; entries are kept where they fit into ``memory`` bytes and made anew in every product where not, with equal
    bits. Cost of a product: d·√P additions.

    Raises:
        InputError: d is not between 1 and P.
    """

    kind = "sparse"

    def __init__(self, parameters: int, dim: int, seed: int, memory: int = MEMORY) -> None:
        super().__init__(parameters, dim)
        self.seed, self.entries = seed, max(1, round(math.sqrt(parameters)))
        bounds = torch.arange(self.entries + 1) * parameters // self.entries
        self._starts_s = bounds[:-1].numpy().astype(np.uint64)
        self._lengths_s = bounds.diff().numpy().astype(np.uint64)
        self._kept: list[tuple[int, int, Tensor, Tensor]] | None = None
        if ENTRY_BYTES * dim * self.entries <= memory:
            self._kept = list(self._made())

    def _lift(self, w_Bd: Tensor) -> Tensor:
        out_BP = w_Bd.new_zeros(len(w_Bd), self.parameters)
        for start, stop, rows, sign in self._chunks():
            rows, sign = rows.to(w_Bd.device), sign.to(w_Bd)
            for out_P, w_d in zip(out_BP, w_Bd, strict=True):
                out_P.index_add_(0, rows, (w_d[start:stop, None] * sign.view(-1, self.entries)).view(-1))
        return out_BP.div_(math.sqrt(self.entries))

    def _pull(self, g_BP: Tensor) -> Tensor:
        out_Bd = g_BP.new_empty(len(g_BP), self.dim)
        for start, stop, rows, sign in self._chunks():
            rows, sign = rows.to(g_BP.device), sign.to(g_BP)
            for out_d, g_P in zip(out_Bd, g_BP, strict=True):
                out_d[start:stop] = (g_P.index_select(0, rows) * sign).view(-1, self.entries).sum(1)
        return out_Bd.div_(math.sqrt(self.entries))

    def _chunks(self) -> Iterator[tuple[int, int, Tensor, Tensor]]:
        yield from self._made() if self._kept is None else self._kept

    def _made(self) -> Iterator[tuple[int, int, Tensor, Tensor]]:
        """Range of columns, and rows and signs of their entries, column after column."""
        columns = max(1, CHUNK // self.entries)
        for start in range(0, self.dim, columns):
            stop = min(start + columns, self.dim)
            words = raw_words(self.seed, INDEX, start * self.entries, stop * self.entries).reshape(-1, self.entries)
            rows = self._starts_s + ((words >> np.uint64(32)) * self._lengths_s >> np.uint64(32))
            sign = (words & np.uint64(1)).astype(np.int8) * 2 - 1
            yield start, stop, torch.from_numpy(rows.astype(np.int32)).view(-1), torch.from_numpy(sign).view(-1)


class Hashed(Projection):
    """One entry ± a parameter: parameter i belongs to column π(i) mod d, π a permutation drawn by the seed.

    Supports are disjoint, none is empty, and their sizes differ by at most one: A is exactly orthonormal, and at d = P
    a permutation with signs. Cost of a product: P look-ups; memory: 4·P bytes.

    Raises:
        InputError: d is not between 1 and P.
    """

    kind = "hashed"

    def __init__(self, parameters: int, dim: int, seed: int) -> None:
        super().__init__(parameters, dim)
        place_P = generator(seed, INDEX).permutation(parameters).astype(np.int32)
        place_P %= dim
        self._column_P = torch.from_numpy(place_P)
        # A place in a table of w and −w, so that one look-up brings the sign along.
        self._column_P += (signs(seed, SIGN, parameters) < 0).to(torch.int32).mul_(dim)
        sizes_d = torch.full((dim,), parameters // dim, dtype=torch.float64)
        sizes_d[: parameters % dim] += 1
        self._scale_d = sizes_d.rsqrt_()

    def _lift(self, w_Bd: Tensor) -> Tensor:
        scaled_Bd = w_Bd * self._scale_d.to(w_Bd)
        table_B2d = torch.cat([scaled_Bd, -scaled_Bd], dim=1)
        column_P = self._column_P.to(w_Bd.device)
        out_BP = w_Bd.new_empty(len(w_Bd), self.parameters)
        for out_P, table in zip(out_BP, table_B2d, strict=True):
            torch.index_select(table, 0, column_P, out=out_P)
        return out_BP

    def _pull(self, g_BP: Tensor) -> Tensor:
        table_B2d = g_BP.new_zeros(len(g_BP), 2 * self.dim)
        column_P = self._column_P.to(g_BP.device)
        for table, g_P in zip(table_B2d, g_BP, strict=True):
            table.index_add_(0, column_P, g_P)
        return (table_B2d[:, : self.dim] - table_B2d[:, self.dim :]) * self._scale_d.to(g_BP)
