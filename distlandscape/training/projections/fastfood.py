"""Fastfood planes: stacked blocks H G Π H B of Walsh–Hadamard transforms (Le, Sarlós, Smola 2013)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distlandscape.training.projections.base import Projection
from distlandscape.training.projections.draws import CHOICE, NORMAL, SIGN, generator, normals, signs
from distlandscape.training.projections.hadamard import CACHED, hadamard

LEAST = 2**10  # of a block: more blocks of smaller ones cost more calls than they save


class Fastfood(Projection):
    """Blocks of n rows, n the next power of two above d: signs B, permutation Π, normals G between two transforms H.

    Every column of a block has norm √n·|G|; the last block is cut off at P, and the norms of its columns are worked out
    exactly (``cut_norms``). So all columns have norm 1 without the row scales of the original, which serve kernels.
    Cost of a product: 2·P·log n. Memory: 9·P bytes.

    Raises:
        InputError: d is not between 1 and P.
    """

    kind = "fastfood"

    def __init__(self, parameters: int, dim: int, seed: int) -> None:
        super().__init__(parameters, dim)
        least = min(LEAST, 1 << (parameters - 1).bit_length())
        self.seed, self._n = seed, max(least, 1 << (dim - 1).bit_length())
        self._group = max(1, CACHED // self._n)  # blocks that go through the caches together
        blocks = -(-parameters // self._n)
        self._signs_bn = signs(seed, SIGN, blocks * self._n).view(blocks, self._n)
        self._normals_bn = normals(seed, NORMAL, 0, blocks * self._n).view(blocks, self._n).clone()
        # Rows of a group's flattened blocks: one look-up serves the whole group.
        self._places = torch.empty(blocks * self._n, dtype=torch.int32)
        for first, count in self._groups():
            rows = np.tile(np.arange(self._n, dtype=np.int32), (count, 1))
            permuted = generator(seed, CHOICE + first).permuted(rows, axis=1)
            permuted += np.arange(count, dtype=np.int32)[:, None] * self._n
            self._places[first * self._n : (first + count) * self._n] = torch.from_numpy(permuted).view(-1)
        self._norms_d = self._column_norms()

    def _lift(self, w_Bd: Tensor) -> Tensor:
        out_BP = w_Bd.new_empty(len(w_Bd), self.parameters)
        padded_Bn = w_Bd.new_zeros(len(w_Bd), self._n)
        padded_Bn[:, : self.dim] = w_Bd / self._norms_d.to(w_Bd)
        for first, count in self._groups():
            signed, normal, places = self._tables(first, count, w_Bd)
            for out_P, padded_n in zip(out_BP, padded_Bn, strict=True):
                mixed = hadamard(signed * padded_n).view(-1).index_select(0, places).view(count, self._n)
                part = out_P[first * self._n : (first + count) * self._n]
                part.copy_(hadamard(mixed.mul_(normal)).view(-1)[: len(part)])
        return out_BP

    def _pull(self, g_BP: Tensor) -> Tensor:
        total_Bn = g_BP.new_zeros(len(g_BP), self._n)
        for first, count in self._groups():
            signed, normal, places = self._tables(first, count, g_BP)
            for total_n, g_P in zip(total_Bn, g_BP, strict=True):
                part = g_P[first * self._n : (first + count) * self._n]
                if len(part) < count * self._n:
                    part = torch.cat([part, part.new_zeros(count * self._n - len(part))])
                mixed = hadamard(part.view(count, self._n)).mul_(normal).view(-1)
                back = torch.zeros_like(mixed).index_add_(0, places, mixed).view(count, self._n)
                total_n += hadamard(back).mul_(signed).sum(0)
        return total_Bn[:, : self.dim] / self._norms_d.to(g_BP)

    def _groups(self) -> Iterator[tuple[int, int]]:
        blocks = len(self._signs_bn)
        for first in range(0, blocks, self._group):
            yield first, min(self._group, blocks - first)

    def _tables(self, first: int, count: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = slice(first, first + count)
        places = self._places[first * self._n : (first + count) * self._n].to(like.device)
        return self._signs_bn[rows].to(like), self._normals_bn[rows].to(like), places

    def _column_norms(self) -> Tensor:
        """(d,) before they are divided out."""
        whole, rest = divmod(self.parameters, self._n)
        squares_n = np.full(self._n, self._n * float(self._normals_bn[:whole].double().square().sum()))
        if rest:
            offset = whole % self._group * self._n  # of the last block in its group
            places = self._places[whole * self._n :].numpy() - offset
            squares_n += cut_norms(self._normals_bn[whole].double().numpy(), places, rest)
        return torch.from_numpy(np.sqrt(squares_n[: self.dim]))


def cut_norms(
    normals_n: npt.NDArray[np.float64], places_n: npt.NDArray[np.int32], rows: int
) -> npt.NDArray[np.float64]:
    """Squared column norms (n,) of the first ``rows`` rows of H G Π H.

    With H_ik H_il = H_i,k⊕l, the rows of an aligned range of q of them add up to ±q where k⊕l is a multiple of q and to
    0 elsewhere; so that range gives q·H v with v the sum of ±g_k g_l over such pairs, placed at π(k)⊕π(l). That is
    n²/q terms; ranges below √n are summed row by row instead. Cost: n^1.5, where all columns one by one cost n².
    """
    n = len(normals_n)
    index_n = np.arange(n)
    squares_n, done = np.zeros(n), 0
    while (rows - done) ** 2 >= n:
        q = 1 << ((rows - done).bit_length() - 1)
        v_n = np.zeros(n)
        for shift in range(0, n, q):
            other_n = index_n ^ shift
            sign = -1.0 if (done & shift).bit_count() % 2 else 1.0
            terms = normals_n * normals_n[other_n]
            v_n += sign * np.bincount(places_n ^ places_n[other_n], weights=terms, minlength=n)
        squares_n += q * hadamard(torch.from_numpy(v_n)[None])[0].numpy()
        done += q
    for start in range(done, rows, 16):
        row = torch.zeros(min(16, rows - start), n, dtype=torch.float64)
        row[torch.arange(len(row)), torch.arange(start, start + len(row))] = 1.0
        mixed = hadamard(row) * torch.from_numpy(normals_n)
        back = torch.zeros_like(mixed)
        back[:, torch.from_numpy(places_n).long()] = mixed
        squares_n += hadamard(back).square().sum(0).numpy()
    return squares_n
