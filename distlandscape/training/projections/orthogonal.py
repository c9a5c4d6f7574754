"""Planes of random columns of a fast orthogonal transform."""

from __future__ import annotations

import math
from typing import Any

import scipy.fft
import torch
from torch import Tensor

from distlandscape.training.projections.base import Projection
from distlandscape.training.projections.draws import INDEX, SIGN, generator, signs
from distlandscape.training.projections.hadamard import hadamard


class Cosine(Projection):
    """d random columns of the P-point cosine transform, each row with a random sign: exactly orthonormal.

    Cost of a product: a transform, P log P, on the CPU; slower where P has large prime factors. Memory: P bytes.

    Raises:
        InputError: d is not between 1 and P.
    """

    kind = "cosine"

    def __init__(self, parameters: int, dim: int, seed: int) -> None:
        super().__init__(parameters, dim)
        self._columns_d = torch.from_numpy(generator(seed, INDEX).choice(parameters, dim, replace=False))
        self._signs_P = signs(seed, SIGN, parameters)

    def _lift(self, w_Bd: Tensor) -> Tensor:
        spread_BP = torch.zeros(len(w_Bd), self.parameters, dtype=w_Bd.dtype)
        spread_BP[:, self._columns_d] = w_Bd.cpu()
        waves: Any = scipy.fft.idct(spread_BP.numpy(), norm="ortho", overwrite_x=True)
        return torch.from_numpy(waves).mul_(self._signs_P).to(w_Bd.device)

    def _pull(self, g_BP: Tensor) -> Tensor:
        waves: Any = scipy.fft.dct((g_BP.detach().cpu() * self._signs_P).numpy(), norm="ortho", overwrite_x=True)
        return torch.from_numpy(waves)[:, self._columns_d].to(g_BP.device)


class Hadamard(Projection):
    """d random columns of the Walsh–Hadamard matrix of the next power of two above P, its first P rows, random signs.

    Entries are ±1/√P, so that norms are exactly 1; the rows cut off leave inner products of about 1/√P, none where P is
    a power of two (see ``gram_deviation``). Cost of a product: one transform. Memory: P bytes.

    Raises:
        InputError: d is not between 1 and P.
    """

    kind = "hadamard"

    def __init__(self, parameters: int, dim: int, seed: int) -> None:
        super().__init__(parameters, dim)
        self._length = 1 << (parameters - 1).bit_length()
        self._columns_d = torch.from_numpy(generator(seed, INDEX).choice(self._length, dim, replace=False))
        self._signs_P = signs(seed, SIGN, parameters)

    def _lift(self, w_Bd: Tensor) -> Tensor:
        spread_BN = w_Bd.new_zeros(len(w_Bd), self._length)
        spread_BN[:, self._columns_d.to(w_Bd.device)] = w_Bd
        out_BP = hadamard(spread_BN)[:, : self.parameters]
        return out_BP * (self._signs_P.to(w_Bd) / math.sqrt(self.parameters))

    def _pull(self, g_BP: Tensor) -> Tensor:
        padded_BN = g_BP.new_zeros(len(g_BP), self._length)
        padded_BN[:, : self.parameters] = g_BP * (self._signs_P.to(g_BP) / math.sqrt(self.parameters))
        return hadamard(padded_BN)[:, self._columns_d.to(g_BP.device)]
