"""Whether a model called with other weights is the model that has them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from distlandscape.errors import InputError
from distlandscape.objective.failures import is_of_the_user
from distlandscape.objective.trial import differ

if TYPE_CHECKING:
    from distlandscape.objective.objective import Objective

MOVED = 0.1  # of the root mean square of each parameter: far beyond rounding, near enough to stay a sensible net


def require_function_of_weights(objective: Objective, fresh: nn.Module) -> None:
    """Move the weights, once by calling the model with others and once in a copy that was never called.

    A module that holds its parameters under a further name (a list, a partial function), or something computed from
    them when it first ran, gives other logits then: its derivatives would be wrong without a word. Cost: two forward
    passes of two samples.

    Raises:
        InputError: it does.
    """
    named, generator = dict(fresh.named_parameters()), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in objective.names:
            parameter = named[name]
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype, device="cpu")
            parameter.add_(MOVED * parameter.square().mean().sqrt() * noise.to(parameter.device))
        twin = copy.copy(objective)
        twin.model = fresh
        x, y = (array[:2] for array in objective.data.block(0))
        leaves = twin.leaves()
        try:
            found, expected = (
                one.call(objective.habits, leaves, objective.tensors(x, y, leaves[0].device)[0])
                for one in (objective, twin)
            )
        except Exception as error:  # of the user's code, which need not take any weights
            if not is_of_the_user(error):
                raise
            return
    if differ(found.detach(), expected.detach()):
        raise InputError(
            "the model keeps something computed from its weights, or holds them under a further name (a list, a lambda,"
            " functools.partial), so that other weights do not reach its forward pass; compute it in each call, from"
            " the attributes that are parameters"
        )
