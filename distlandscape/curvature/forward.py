"""Forward-mode differentiation, and the check that a net's forward derivatives are right before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from distlandscape.errors import InputError
from distlandscape.objective import Batch, Objective

if TYPE_CHECKING:
    from distlandscape.curvature.product import Product

__all__ = ["dual_leaves", "dual_level", "flat_tangents", "require_forward_mode", "unpack_dual"]

dual_level = forward_ad.dual_level
make_dual: Any = forward_ad.make_dual
unpack_dual: Any = forward_ad.unpack_dual
SAMPLES = 4
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}  # rounding stays well below, a wrong formula far above


def dual_leaves(leaves: Sequence[Tensor], tangents: Sequence[Tensor]) -> list[Tensor]:
    """θ with a direction; to be used inside a ``dual_level``."""
    return [make_dual(leaf, tangent) for leaf, tangent in zip(leaves, tangents, strict=True)]


def flat_tangents(pieces: Sequence[Tensor], row_P: Tensor) -> None:
    """Write the tangents of tensors in the shapes of the parameters into a flat row; none is zero."""
    start = 0
    for piece in pieces:
        tangent = unpack_dual(piece).tangent
        part = row_P[start : start + piece.numel()]
        if tangent is None:
            part.zero_()
        else:
            part.copy_(tangent.reshape(-1))
        start += piece.numel()


def require_forward_mode(objective: Objective, product: Product, *arguments: Any) -> None:
    """Compare forward over reverse with double backward on the first samples and one random vector.

    Forward derivatives of torch are missing (GroupNorm's and SiLU's backward) or wrong in some circumstances (LayerNorm
    under a batched reverse mode, 2.13), as those of a user's functions may be: a comparison finds out.

    Raises:
        InputError: the two differ, or there is no forward derivative.
    """
    x, y = (array[:SAMPLES] for array in objective.data.block(0))
    device = next(objective.model.parameters()).device
    batch = Batch(*objective.tensors(x, y, device), 0)
    generator = torch.Generator().manual_seed(0)
    v_1P = torch.randn(1, objective.parameters, generator=generator, dtype=objective.dtype).to(device)
    (exact,) = product(objective, batch, v_1P, *arguments)
    try:
        (found,) = product.forward(objective, batch, v_1P, *arguments)
    except (RuntimeError, InputError) as error:  # torch's NotImplementedError is a RuntimeError
        reason = error.__cause__ if isinstance(error, InputError) and error.__cause__ else error
        raise InputError(
            "the model or loss uses an operation without forward derivatives"
            f" ({str(reason).splitlines()[0][:120]}); choose product 'kept' instead of 'forward_over_reverse'"
        ) from error
    off, size = float((found - exact).double().norm()), float(exact.double().norm())
    if off > TOLERANCE[objective.dtype] * size:
        raise InputError(
            f"forward over reverse differs from double backward by {off / size if size else off:.1e} for this model"
            ", so that some forward derivative is wrong; choose product 'kept' instead of 'forward_over_reverse'"
        )
