"""Overlaps between subspaces and the confinement of a vector to one."""

from __future__ import annotations

import torch
from torch import Tensor

from distlandscape.errors import InputError
from distlandscape.spectral.rows import SpaceRows


def overlap(V: Tensor | SpaceRows, W: Tensor | SpaceRows) -> float:
    """‖V Wᵀ‖_F² / k of two sets of k orthonormal rows (k, P): 1 for the same subspace, about k/P for random ones.

    Args:
        V: tensor (k, P), or ``SpaceRows`` that stay where the workers keep them.
        W: as many rows of the same length.

    Returns:
        The mean of the squared cosines of the principal angles, in float64. Cost: no pass.

    Raises:
        InputError: shapes differ.
    """
    if tuple(V.shape) != tuple(W.shape) or len(V.shape) != 2:
        raise InputError(
            f"overlap needs two (k, P) sets of rows of equal shape, not {tuple(V.shape)} and {tuple(W.shape)};"
            " give as many of one as of the other"
        )
    return float(_products(V, W).square().sum() / len(V))


def confinement(gradient: Tensor, V: Tensor | SpaceRows) -> float:
    """|V g|² / |g|² of a gradient (P,) and orthonormal rows (k, P); nan for a zero gradient."""
    g = gradient.double()
    return float(_products(V, gradient[None]).square().sum() / torch.dot(g, g))


def _products(V: Tensor | SpaceRows, W: Tensor | SpaceRows) -> Tensor:
    """(k, l) inner products in float64, computed where rows of a space live."""
    if isinstance(V, SpaceRows):
        return torch.from_numpy(V.dots(W))
    if isinstance(W, SpaceRows):
        return torch.from_numpy(W.dots(V)).T
    return V.double() @ W.double().T
