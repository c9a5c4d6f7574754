"""The interface of a plane θ = θ₀ + A w: products with A and with Aᵀ.

Shapes: P parameters, d dimension of the plane, B members of a pack.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from distlandscape.errors import InputError


class Projection(ABC):
    """A (P, d) with columns of norm 1 over all parameters together, known by its products.

    A function of kind, P, d and seed alone. ``lift`` and ``pull`` are adjoint to each other to rounding; they take one
    vector or several as rows, and give the precision and device of what they are given.

    Attributes:
        kind: name of the construction.
        parameters: P.
        dim: d.

    Raises:
        InputError: d is not between 1 and P.
    """

    kind: str

    def __init__(self, parameters: int, dim: int) -> None:
        check_dim(parameters, dim)
        self.parameters, self.dim = parameters, dim

    def lift(self, w: Tensor) -> Tensor:
        """A w: (d,) to (P,), or (B, d) to (B, P)."""
        _check_width("lift", w, self.dim)
        return self._lift(w) if w.ndim == 2 else self._lift(w[None])[0]

    def pull(self, g: Tensor) -> Tensor:
        """Aᵀ g: (P,) to (d,), or (B, P) to (B, d)."""
        _check_width("pull", g, self.parameters)
        return self._pull(g) if g.ndim == 2 else self._pull(g[None])[0]

    @abstractmethod
    def _lift(self, w_Bd: Tensor) -> Tensor:
        """(B, P)."""

    @abstractmethod
    def _pull(self, g_BP: Tensor) -> Tensor:
        """(B, d)."""


def check_dim(parameters: int, dim: int) -> None:
    """Raise InputError for a dimension no plane can have."""
    if not 1 <= dim <= parameters:
        raise InputError(f"a plane of dimension d={dim} does not fit {parameters:,} parameters; give 1 to {parameters}")


def _check_width(what: str, rows: Tensor, width: int) -> None:
    if rows.ndim not in (1, 2) or rows.shape[-1] != width:
        raise InputError(f"{what} takes ({width},) or rows (B, {width}), not {tuple(rows.shape)}; reshape it")


def gram_deviation(projection: Projection, probes: int = 4, seed: int = 0) -> float:
    """‖AᵀA − I‖_F/√d, estimated from ``probes`` products with random signs: 0 for an orthonormal plane.

    Of independent Gaussian columns it is about √(d/P), of Fastfood √(2d/P). Cost: a lift and a pull each.
    """
    random = np.random.default_rng(seed)
    w_Bd = torch.from_numpy(random.integers(0, 2, (probes, projection.dim)) * 2.0 - 1.0)
    return float((projection.pull(projection.lift(w_Bd)) - w_Bd).square().mean().sqrt())
