"""The two rules of descent, with weight decay as a part of the gradient."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.optim import SGD, Adam, Optimizer

from distlandscape.errors import InputError

OPTIMIZERS = ("sgd", "adam")


def make_optimizer(
    name: str, parameters: Sequence[nn.Parameter], learning_rate: float, momentum: float, weight_decay: float
) -> Optimizer:
    """SGD with ``momentum``, or Adam with its usual 0.9 and 0.999; both descend the gradient of the objective.

    Adam is therefore not AdamW: the weight decay passes through its moments like the rest of the gradient.

    Raises:
        InputError: unknown name.
    """
    if name == "sgd":
        return SGD(parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay)
    if name == "adam":
        return Adam(parameters, lr=learning_rate, weight_decay=weight_decay)
    raise InputError(f"train.optimizer={name!r} is unknown; known: {', '.join(OPTIMIZERS)}")
