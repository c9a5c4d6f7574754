"""Overlaps between subspaces and the confinement of a vector to one."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.errors import InputError


def overlap(V: Tensor, W: Tensor) -> float:
    """‖V Wᵀ‖_F² / k of two sets of k orthonormal rows (k, P): 1 for the same subspace, about k/P for random ones.

    Raises:
        InputError: shapes differ.
    """
    if V.shape != W.shape or V.ndim != 2:
        raise InputError(
            f"overlap needs two (k, P) sets of rows of equal shape, not {tuple(V.shape)} and {tuple(W.shape)}"
        )
    return float((V.double() @ W.double().T).square().sum() / len(V))


def confinement(gradient: Tensor, V: Tensor) -> float:
    """|V g|² / |g|² of a gradient (P,) and orthonormal rows (k, P); nan for a zero gradient."""
    g = gradient.double()
    return float((V.double() @ g).square().sum() / torch.dot(g, g))
