"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from distlandscape.models.parts import NORMS, checked_choice, checked_widths, make_activation, make_norm


def mlp(
    input_shape: Sequence[int],
    outputs: int,
    hidden: Sequence[int] = (32, 32),
    activation: str = "relu",
    norm: str = "none",
) -> nn.Sequential:
    """Fully connected network on flattened samples.

    Args:
        input_shape: shape of one sample.
        outputs: number of logits C.
        hidden: widths of the hidden layers.
        activation: "relu", "tanh" or "gelu".
        norm: "batch", "group" (of units, at most 8 groups), "layer" or "none", before each activation.

    Raises:
        InputError: a width below 1, or an unknown activation or norm.
    """
    widths = [math.prod(input_shape), *checked_widths("hidden", hidden), outputs]
    checked_choice("norm", norm, list(NORMS))
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths[:-1]):
        layers.append(nn.Linear(fan_in, fan_out))
        if norm != "none":
            layers.append(nn.BatchNorm1d(fan_out) if norm == "batch" else make_norm(norm, fan_out))
        layers.append(make_activation(activation))
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))
