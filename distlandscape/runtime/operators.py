"""Curvature operators of an objective: one ``apply`` is one pass over all data, exact for the mean loss.

Shapes: P parameters, K vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from distlandscape.curvature import gauss_newton_products, hessian_products
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime.evaluate import BlockFunction
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.runner import Runner
from distlandscape.spectral.driver import TensorSpace

PASS_BYTES = 2**28  # float64 sums of all vectors of one pass: more vectors are split over several


class CurvatureOperator:
    """Base of the operators; a subclass names the products of one micro-batch.

    Args:
        objective: the function whose curvature it is.
        pool: a ``Pool``; None computes in this process.
    """

    products: BlockFunction

    def __init__(self, objective: Objective, pool: Runner | None = None) -> None:
        self.objective = objective
        self.runner: Runner = pool if pool is not None else LocalRunner()
        self.space = TensorSpace(objective.parameters, objective.dtype)
        self.shape = (objective.parameters, objective.parameters)
        self.dtype = objective.dtype
        self.passes = 0

    def apply(self, vectors: Tensor | npt.NDArray[Any] | Sequence[Tensor]) -> Tensor:
        """Products with K rows (K, P), as rows; one pass (several where K·P is very large).

        Raises:
            InputError: rows of another length.
        """
        rows = torch.stack([_tensor(v) for v in vectors]) if isinstance(vectors, Sequence) else _tensor(vectors)
        if rows.ndim != 2 or rows.shape[1] != self.shape[0]:
            raise InputError(f"apply needs rows (K, {self.shape[0]}), not {tuple(rows.shape)}")
        # Contiguous: the bits of a product must not depend on how its vector lay in memory.
        V_KP = rows.to(self.dtype).cpu().contiguous().numpy()
        together = max(1, PASS_BYTES // (8 * self.shape[0]))
        out = torch.empty(V_KP.shape, dtype=self.dtype)
        for start in range(0, len(V_KP), together):
            part = V_KP[start : start + together]
            (sums,) = self.runner.map_blocks(self.objective, type(self).products, (part,))
            out[start : start + together] = torch.from_numpy(sums / self.objective.samples)
            self.passes += 1
        return out

    def __matmul__(self, other: Tensor | npt.NDArray[Any]) -> Tensor:
        """``H @ v`` for (P,), ``H @ V`` for columns (P, K)."""
        columns = _tensor(other)
        if columns.ndim not in (1, 2) or columns.shape[0] != self.shape[0]:
            raise InputError(
                f"the operator is {self.shape}: it needs ({self.shape[0]},) or ({self.shape[0]}, K), not"
                f" {tuple(columns.shape)}"
            )
        return self.apply(columns[None])[0] if columns.ndim == 1 else self.apply(columns.T).T

    def to_scipy(self) -> LinearOperator:
        """The same as a scipy LinearOperator; a product costs one pass."""
        dtype = np.float64 if self.dtype == torch.float64 else np.float32

        def columns(V: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return (self @ V.reshape(self.shape[0], -1)).numpy()

        return LinearOperator(self.shape, matvec=columns, matmat=columns, rmatvec=columns, dtype=dtype)


def _tensor(array: Tensor | npt.NDArray[Any]) -> Tensor:
    """A tensor without history; numpy arrays are copied, because torch warns of read-only ones."""
    return array.detach() if isinstance(array, Tensor) else torch.from_numpy(np.array(array, order="C"))


class Hessian(CurvatureOperator):
    """∇² of the mean loss with respect to θ."""

    products = staticmethod(hessian_products)


class GaussNewton(CurvatureOperator):
    """The Gauss-Newton term (1/N) Σ Jᵀ (∂²ℓ/∂z²) J; for cross-entropy the Fisher matrix."""

    products = staticmethod(gauss_newton_products)
