"""The Hessian by differences of the gradient: approximate, for nets whose second derivative is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distlandscape.curvature.finite_difference import finite_difference_products, finite_difference_steps
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.operators import CurvatureOperator
from distlandscape.runtime.runner import Runner, check_given
from distlandscape.spectral.space import Vectors


class FiniteDifferenceHessian(CurvatureOperator):
    """∇² of the objective, APPROXIMATELY, from central differences of the gradient at two steps (Richardson 1911).

    A cross-check of ``Hessian``, and all there is for fused kernels and functions without a second derivative. In
    float32 products are good to about 1e-5–1e-3 for smooth nets and can be wrong at the kinks of ReLU nets; use
    float64 where it matters. A product with a vector costs four gradient passes.

    Attributes:
        approximate: True.
        errors: estimated relative error (norm over norm) of each product of the last ``apply``, (K,).

    Args:
        objective: the function whose curvature it is.
        pool: a ``Pool`` with transport "store"; None computes in this process.

    Raises:
        InputError: what is given is no objective or no such pool.
    """

    approximate = True

    def __init__(self, objective: Objective, pool: Runner | None = None) -> None:
        check_given(objective, pool)
        # Not the base class's: it demands a second derivative.
        self.objective = objective
        self.runner = pool if pool is not None else LocalRunner()
        if self.runner.transport == "collective":
            raise InputError("FiniteDifferenceHessian needs vectors in the driver; use a Pool with transport='store'")
        self.shape = (objective.parameters, objective.parameters)
        self.dtype = objective.dtype
        self.passes = 0
        self.errors: npt.NDArray[np.float64] = np.zeros(0)

    def apply(self, vectors: Vectors) -> Any:
        """Products with K rows (K, P), as rows, and ``errors``; four gradient passes a row, counted as one pass.

        Raises:
            InputError: rows of another length, or a gradient that is not finite.
        """
        rows = self._rows(vectors)
        products, errors = [], []
        for k in range(len(rows)):  # nothing is shared between vectors
            v_1P = rows[k : k + 1]
            steps = finite_difference_steps(self.objective.theta, v_1P)
            arrays = (v_1P.numpy(), steps.numpy())
            sums, error = self.runner.map_blocks(self.objective, finite_difference_products, arrays)
            mean = sums / self.objective.samples
            if not np.isfinite(mean).all():
                raise InputError("a difference of gradients is not finite; look at the weights and the data")
            size = float(np.linalg.norm(mean))
            errors.append(float(np.linalg.norm(error)) / self.objective.samples / size if size else 0.0)
            products.append(torch.from_numpy(mean).to(self.dtype) + self.objective.weight_decay * v_1P)
            self.passes += 1
        self.errors = np.array(errors)
        return torch.cat(products) if products else rows
