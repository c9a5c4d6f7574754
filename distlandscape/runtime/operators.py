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

from distlandscape.curvature import fisher_products, gauss_newton_products, hessian_products, residual_products
from distlandscape.curvature.fisher import LABELS
from distlandscape.curvature.second_order_check import require_second_derivative
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.objective.switches import measuring
from distlandscape.runtime.evaluate import BlockFunction
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.runner import Runner, check_given
from distlandscape.runtime.shard_space import Handle, ShardSpace
from distlandscape.spectral.space import Space, Vectors

PASS_BYTES = 2**28  # float64 sums of all vectors of one pass: more vectors are split over several


class CurvatureOperator:
    """Base of the operators; a subclass names the products of one micro-batch, and what they take beside vectors.

    ``H @ v`` takes (P,) to (P,), ``H @ V`` (P, K) to (P, K), ``H.apply`` rows (K, P) to rows; each is one pass.

    Args:
        objective: the function whose curvature it is.
        pool: a ``Pool``; None computes in this process.

    Raises:
        InputError: what is given is no objective or no pool, or an operation of the model or loss has no second
            derivative, which every product needs.
    """

    products: BlockFunction
    arguments: tuple[Any, ...] = ()
    decays = True  # whether weight decay λ adds λI

    def __init__(self, objective: Objective, pool: Runner | None = None) -> None:
        check_given(objective, pool)
        with measuring(next(objective.model.parameters()).device, objective.dtype):
            require_second_derivative(objective)
        self.objective = objective
        self.runner: Runner = pool if pool is not None else LocalRunner()
        self.shape = (objective.parameters, objective.parameters)
        self.dtype = objective.dtype
        self.passes = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.objective!r}, {self.runner!r})"

    @property
    def space(self) -> Space:
        """Where vectors live: in the driver, or sharded over the workers of a pool."""
        return self.runner.space(self.objective)

    def apply(self, vectors: Vectors) -> Any:
        """Products with K rows (K, P), as rows; one pass (several where K·P is very large).

        Vectors of a sharded space give such vectors back; tensors and arrays give a tensor.

        Raises:
            InputError: rows of another length.
        """
        if isinstance(vectors, Sequence) and len(vectors) and isinstance(vectors[0], Handle):
            return self._sharded(vectors)
        V_KP = self._rows(vectors).numpy()
        together = max(1, PASS_BYTES // (8 * self.shape[0]))
        out = torch.empty(V_KP.shape, dtype=self.dtype, device="cpu")
        for start in range(0, len(V_KP), together):
            part = V_KP[start : start + together]
            (sums,) = self.runner.map_blocks(self.objective, type(self).products, (part, *self.arguments))
            mean = sums / self.objective.samples
            if not np.isfinite(mean).all():
                raise InputError(
                    "a product with the operator is not finite; look at the weights, and for a square root, norm or"
                    " logarithm at 0 in model or loss"
                )
            if self.decays and self.objective.weight_decay:
                mean += self.objective.weight_decay * part
            out[start : start + together] = torch.from_numpy(mean)
            self.passes += 1
        return out

    def _rows(self, vectors: Any) -> Tensor:
        """(K, P) on the CPU in the operator's dtype; InputError for another length."""
        rows = torch.stack([_tensor(v) for v in vectors]) if isinstance(vectors, Sequence) else _tensor(vectors)
        if rows.ndim != 2 or rows.shape[1] != self.shape[0]:
            raise InputError(f"apply needs rows (K, {self.shape[0]}), not {tuple(rows.shape)}")
        # Contiguous: the bits of a product must not depend on how its vector lay in memory.
        return rows.to(self.dtype).cpu().contiguous()

    def _sharded(self, vectors: Sequence[Handle]) -> list[Handle]:
        space = self.space
        assert isinstance(space, ShardSpace), "handles belong to a sharded space"
        outs = [space.handle() for _ in vectors]
        decay = self.objective.weight_decay if self.decays else 0.0
        indices = [v.index for v in vectors], [o.index for o in outs]
        space.record("products", type(self).products, self.arguments, *indices, decay)
        self.passes += 1
        return outs

    def __matmul__(self, other: Tensor | npt.NDArray[Any]) -> Tensor:
        """``H @ v`` for (P,), ``H @ V`` for columns (P, K)."""
        columns = _tensor(other)
        if columns.ndim not in (1, 2) or columns.shape[0] != self.shape[0]:
            raise InputError(
                f"the operator is {self.shape}: it needs ({self.shape[0]},) or ({self.shape[0]}, K), not"
                f" {tuple(columns.shape)}"
            )
        rows: Tensor = self.apply(columns[None] if columns.ndim == 1 else columns.T)
        return rows[0] if columns.ndim == 1 else rows.T

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
    """∇² of the objective with respect to θ: (1/N) Σ ∂²ℓ/∂θ², plus λI of weight decay (Pearlmutter 1994).

    ``H @ v`` takes (P,) to (P,), ``H @ V`` takes (P, K) to (P, K); each is one pass over the data, several where K·P is
    very large.

    Args:
        objective: the function whose curvature it is.
        pool: a ``Pool``; None computes in this process.

    Raises:
        InputError: an operation of the model or loss has no second derivative, or it is not finite.
    """

    products = staticmethod(hessian_products)


class GaussNewton(CurvatureOperator):
    """The Gauss-Newton term (1/N) Σ Jᵀ (∂²ℓ/∂z²) J, plus λI of weight decay (Schraudolph 2002).

    For cross-entropy, and for mse, it is the Fisher matrix with the model's own labels, plus λI. Shapes, cost,
    arguments and errors are those of ``Hessian``.
    """

    products = staticmethod(gauss_newton_products)


class Residual(CurvatureOperator):
    """The residual term (1/N) Σ_μ Σ_k (∂ℓ/∂z_k) ∂²z_k/∂θ²: the Hessian is GaussNewton + Residual.

    Computed as the Hessian of Σ stop_gradient(∂ℓ/∂z)·z, not as a difference. Shapes, cost, arguments and errors are
    those of ``Hessian``; weight decay has no part in it.
    """

    products = staticmethod(residual_products)
    decays = False


class Fisher(CurvatureOperator):
    """The Fisher matrix (1/N) Σ_μ E_y[∇ℓ ∇ℓᵀ], positive semi-definite; weight decay has no part in it.

    Shapes and cost are those of ``Hessian``.

    Args:
        objective: the loss is cross_entropy or mse (a normal distribution of variance ½) unless labels is "data".
        pool: a ``Pool``; None computes in this process.
        labels: "model": y from the model's own distribution, exact expectation; "sampled": one draw a sample, the same
            in every product; "data": the targets of the data, the empirical Fisher (Kunstner et al. 2019).
        seed: of the draws of "sampled".

    Raises:
        InputError: unknown labels, a loss that is no likelihood, or what ``Hessian`` refuses.
    """

    products = staticmethod(fisher_products)
    decays = False

    def __init__(
        self, objective: Objective, pool: Runner | None = None, labels: str = "model", *, seed: int = 0
    ) -> None:
        check_given(objective, pool)
        if labels not in LABELS:
            raise InputError(f"labels={labels!r} are unknown; known: {', '.join(LABELS)}")
        if labels != "data" and objective.likelihood is None:
            raise InputError(
                f"Fisher with labels={labels!r} needs a loss that is −log of a likelihood, cross_entropy or mse; use"
                " labels='data' or GaussNewton"
            )
        super().__init__(objective, pool)
        self.arguments = (labels, seed)
