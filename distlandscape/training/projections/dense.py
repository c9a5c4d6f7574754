"""Dense Gaussian planes (Li et al. 2018), and planes of given directions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from distlandscape.errors import InputError
from distlandscape.training.projections.base import Projection
from distlandscape.training.projections.draws import NORMAL, normals

CHUNK = 2**18  # entries of A made or multiplied at a time: a MB, which stays in cache for all members
MEMORY = 2**30  # bytes that an A may take before it is made anew for every product


class Dense(Projection):
    """Independent normal entries, each column divided by its norm.

    Entry (i, j) is normal number i·d + j of the seed. A is kept in float32 where its 4·P·d bytes fit into ``memory``,
    and made chunk by chunk in every product where not; both give the same bits. Cost of a product: P·d multiplications.

    Raises:
        InputError: d is not between 1 and P.
    """

    kind = "dense"

    def __init__(self, parameters: int, dim: int, seed: int, memory: int = MEMORY) -> None:
        super().__init__(parameters, dim)
        self.seed = seed
        self._kept: Tensor | None = None
        if 4 * parameters * dim <= memory:
            self._kept = torch.empty(parameters, dim)
            for start, stop in self._cuts():
                self._kept[start:stop] = self._made(start, stop)
        squares = torch.zeros(dim, dtype=torch.float64)
        for _, _, block in self._blocks(torch.float64):
            squares += block.square_().sum(0)
        self._norms_d = squares.sqrt_()

    def _lift(self, w_Bd: Tensor) -> Tensor:
        w_Bd = w_Bd / self._norms_d.to(w_Bd)
        out_BP = w_Bd.new_empty(len(w_Bd), self.parameters)
        for start, stop, block in self._blocks(w_Bd.dtype):
            out_BP[:, start:stop] = w_Bd @ block.to(w_Bd.device).T
        return out_BP

    def _pull(self, g_BP: Tensor) -> Tensor:
        out_Bd = g_BP.new_zeros(len(g_BP), self.dim)
        for start, stop, block in self._blocks(g_BP.dtype):
            # Contiguous: rows P apart make the product several times slower.
            out_Bd.addmm_(g_BP[:, start:stop].contiguous(), block.to(g_BP.device))
        return out_Bd / self._norms_d.to(g_BP)

    def _blocks(self, dtype: torch.dtype) -> Iterator[tuple[int, int, Tensor]]:
        for start, stop in self._cuts():
            block = self._made(start, stop) if self._kept is None else self._kept[start:stop]
            yield start, stop, block.to(dtype)

    def _cuts(self) -> Iterator[tuple[int, int]]:
        rows = max(1, CHUNK // self.dim)
        for start in range(0, self.parameters, rows):
            yield start, min(start + rows, self.parameters)

    def _made(self, start: int, stop: int) -> Tensor:
        return normals(self.seed, NORMAL, start * self.dim, stop * self.dim).view(stop - start, self.dim)


class Given(Projection):
    """The span of given directions: the rows of a (d, P) matrix, each divided by its norm.

    For the top eigenvectors of a Hessian, or ``trajectory_directions``.

    Raises:
        InputError: no matrix, more rows than columns, or a row of zeros, NaN or inf.
    """

    kind = "given"

    def __init__(self, directions_dP: Tensor) -> None:
        if directions_dP.ndim != 2:
            raise InputError(f"directions must be rows (d, P), not {tuple(directions_dP.shape)}; reshape them")
        super().__init__(directions_dP.shape[1], directions_dP.shape[0])
        norms_d = directions_dP.double().norm(dim=1)
        if not bool((torch.isfinite(norms_d) & (norms_d > 0)).all()):
            raise InputError("a direction is zero, or holds NaN or inf; give directions of finite, positive length")
        self._rows_dP = (directions_dP.double() / norms_d[:, None]).to(directions_dP.dtype)

    def _lift(self, w_Bd: Tensor) -> Tensor:
        return torch.matmul(w_Bd, self._rows_dP.to(w_Bd))

    def _pull(self, g_BP: Tensor) -> Tensor:
        return torch.matmul(g_BP, self._rows_dP.to(g_BP).T)


def trajectory_directions(points_KP: Tensor, dim: int) -> Tensor:
    """The top right singular vectors (d, P) of a trajectory's steps away from its first point ("lottery" planes).

    Args:
        points_KP: weights along a training, the start first.
        dim: d, at most the rank of the K−1 differences: singular values that the rounding of the weights alone can give
            do not count.

    Raises:
        InputError: the trajectory spans fewer dimensions.
    """
    moves = (points_KP[1:] - points_KP[0]).double()
    _, values, rows = torch.linalg.svd(moves, full_matrices=False)
    # Of a matrix of independent errors of this size the largest singular value is about this.
    rounding = torch.finfo(points_KP.dtype).eps * float(points_KP.abs().max()) * sum(n**0.5 for n in moves.shape)
    rank = int((values > rounding).sum())
    if not 1 <= dim <= rank:
        raise InputError(
            f"a trajectory of {len(points_KP)} points spans {rank} dimensions, not d={dim}; keep more points or lower d"
        )
    directions_dP: Tensor = rows[:dim].to(points_KP.dtype)
    return directions_dP
