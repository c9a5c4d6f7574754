"""Approximate Hessian products from differences of the gradient, for nets without a second derivative.

Shapes: K vectors, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distlandscape.objective import Batch, Objective


def finite_difference_products(
    objective: Objective, batch: Batch, V_KP: Tensor, steps_K: Tensor
) -> tuple[Tensor, Tensor]:
    """Approximate sums over the micro-batch of ∇²ℓ · v for each row v of ``V_KP``, and what to judge them by.

    Central differences D(h) = (g(θ + hv) − g(θ − hv))/2h with steps h and 2h, and Richardson's combination
    (4 D(h) − D(2h))/3, whose error is of fourth order in h (Richardson 1911). Returned are the combination and
    4 (D(h) − D(2h))/3, each (K, P). The norm of the latter, over all data, is a cautious estimate of the combination's
    error: where rounding rules it is about that large, where truncation does it is of second order only, and at kinks
    of the function (ReLU), where no step is right, it grows with the error.

    Cost: four gradients a vector; nothing is shared.

    Args:
        objective: first derivatives of its loss suffice.
        batch: the micro-batch.
        V_KP: vectors.
        steps_K: h of each vector, the same for all micro-batches; see ``finite_difference_steps``.
    """
    leaves = objective.leaves()
    fine, error = torch.zeros_like(V_KP), torch.zeros_like(V_KP)
    for k, (v, h) in enumerate(zip(V_KP, steps_K.tolist(), strict=True)):
        if h == 0:  # no direction
            continue
        pieces = objective.split(v)
        narrow, wide = (_central(objective, batch, leaves, pieces, step) for step in (h, 2 * h))
        torch.mul(narrow - wide, 4 / 3, out=error[k])
        torch.add(narrow, error[k], alpha=0.25, out=fine[k])
    return fine, error


def finite_difference_steps(theta_P: Tensor, V_KP: Tensor) -> Tensor:
    """Steps h (K,), float64, that balance rounding and truncation; 0 for a zero vector.

    Rounding costs ε|g|/h and truncation of the combination is of fourth order in h: they meet at a movement of
    ε^{1/5}, 4 % of a weight in float32. A weight is the root mean square of θ; the movement is that of the entries
    which v moves, |v|²/max v² in number.
    """
    epsilon = torch.finfo(theta_P.dtype).eps
    scale = float(theta_P.double().square().mean().sqrt()) or 1.0
    norms, tops = V_KP.double().norm(dim=1), V_KP.double().abs().amax(1)
    moved = norms.square() / tops.square()  # 1 for a unit vector, P for signs; nan for a zero vector
    return torch.where(norms > 0, epsilon**0.2 * scale * moved.sqrt() / norms, torch.zeros_like(norms))


def _central(
    objective: Objective, batch: Batch, leaves: Sequence[Tensor], pieces: Sequence[Tensor], h: float
) -> Tensor:
    """(P,): the central difference of the gradient along v with step h."""
    ahead, behind = (_gradient(objective, batch, leaves, pieces, step) for step in (h, -h))
    return (ahead - behind) / (2 * h)


def _gradient(
    objective: Objective, batch: Batch, leaves: Sequence[Tensor], pieces: Sequence[Tensor], h: float
) -> Tensor:
    moved = [torch.add(leaf.detach(), v, alpha=h).requires_grad_(True) for leaf, v in zip(leaves, pieces, strict=True)]
    loss = objective.loss_sum(moved, batch.x, batch.y)
    if not loss.requires_grad:
        return torch.zeros(objective.parameters, dtype=objective.dtype, device=loss.device)
    grads = torch.autograd.grad(loss, moved, allow_unused=True, materialize_grads=True)
    return torch.cat([grad.reshape(-1) for grad in grads])
