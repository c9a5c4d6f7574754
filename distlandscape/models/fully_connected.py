"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from distlandscape.models.parts import checked_widths, make_activation


def mlp(
    input_shape: Sequence[int], outputs: int, hidden: Sequence[int] = (32, 32), activation: str = "relu"
) -> nn.Sequential:
    """Fully connected network on flattened samples.

    Args:
        input_shape: shape of one sample.
        outputs: number of logits C.
        hidden: widths of the hidden layers.
        activation: "relu", "tanh" or "gelu".

    Raises:
        InputError: a width below 1 or an unknown activation.
    """
    widths = [math.prod(input_shape), *checked_widths("hidden", hidden), outputs]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths[:-1]):
        layers += [nn.Linear(fan_in, fan_out), make_activation(activation)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))
