"""Gradients of the logits of single samples, as many at a time as memory allows.

Shapes: n samples of a micro-batch, C logits, K cotangents a sample, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.objective.failures import is_of_the_user

ROWS_BYTES = 2**23  # of the gradients held at once: more fall out of a CPU's cache and take up to five times as long
SAME_GRADIENT = 1e-3  # relative; float32 backward passes of one and of many samples differ by rounding only


def logit_gradients(objective: Objective, x: Tensor, cotangents_nKC: Tensor) -> Tensor:
    """J^μᵀ u for each sample μ and each of its K cotangents u, J^μ = ∂z^μ/∂θ; (n, K, P).

    Cost: one forward and K backward passes of the samples. With norm "batch" every sample carries the statistics batch
    along, which multiplies the cost by its size.
    """
    leaves = tuple(leaf.detach() for leaf in objective.leaves())

    def one(sample: Tensor, cotangents_KC: Tensor) -> tuple[Tensor, ...]:
        def logits(*theta: Tensor) -> Tensor:
            out: Tensor = objective.call(objective.habits, theta, sample[None])[0]
            return out

        pull = torch.func.vjp(logits, *leaves)[1]
        pulled: tuple[Tensor, ...] = torch.func.vmap(pull)(cotangents_KC)
        return pulled

    n, K, _ = cotangents_nKC.shape
    pieces = torch.func.vmap(one)(x, cotangents_nKC)
    return torch.cat([piece.reshape(n, K, -1) for piece in pieces], 2)


def gradient_chunks(objective: Objective, x: Tensor, cotangents_nKC: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """``logit_gradients`` of consecutive samples: which samples, and their rows (m, K, P)."""
    n, K, _ = cotangents_nKC.shape
    together = max(1, ROWS_BYTES // (K * objective.parameters * x.new_empty(0, dtype=objective.dtype).element_size()))
    for start in range(0, n, together):
        part = slice(start, min(start + together, n))
        yield part, logit_gradients(objective, x[part], cotangents_nKC[part])


def require_logit_gradients(objective: Objective) -> None:
    """Compare the gradients of the first two samples with those taken one by one.

    Raises:
        InputError: the model cannot be vectorised over samples, or gives other gradients then.
    """
    x, y = (array[:2] for array in objective.data.block(0))
    inputs, _ = objective.tensors(x, y, next(objective.model.parameters()).device)
    with torch.no_grad():
        u_nC = torch.linspace(1, 2, len(x) * objective.outputs, dtype=objective.dtype, device=inputs.device)
    u_nC = u_nC.reshape(len(x), objective.outputs)
    try:
        rows = logit_gradients(objective, inputs, u_nC[:, None])[:, 0]
    except Exception as error:
        if not is_of_the_user(error):
            raise
        why = " ".join(str(error).split())[:160]
        raise InputError(
            f"gradients of single samples cannot be taken from this model ({why}); write it without branches that look"
            " at values and without in-place changes"
        ) from error
    for row, sample, u_C in zip(rows, inputs, u_nC, strict=True):
        leaves = objective.leaves()
        value = (objective.logits(leaves, sample[None])[0] * u_C).sum()
        alone = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
        expected = torch.cat([piece.reshape(-1) for piece in alone])
        difference = float((row - expected).norm())
        if not difference <= SAME_GRADIENT * max(float(expected.norm()), math.ulp(1.0)):
            raise InputError(
                "vectorised gradients of single samples differ from those taken one by one; look for a custom"
                " autograd function in the model that mixes samples"
            )
