"""Networks small enough to study on a laptop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from distlandscape.errors import InputError

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


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
    widths = [math.prod(input_shape), *_widths("hidden", hidden), outputs]
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths[:-1]):
        layers += [nn.Linear(fan_in, fan_out), _activation(activation)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def cnn(
    input_shape: Sequence[int], outputs: int, channels: Sequence[int] = (8, 16), activation: str = "relu"
) -> nn.Sequential:
    """Strided 3×3 convolutions (each halves the image) and one linear layer.

    Args:
        input_shape: (channels, height, width) of one sample.
        outputs: number of logits C.
        channels: output channels of each convolution.
        activation: "relu", "tanh" or "gelu".

    Raises:
        InputError: samples that are no images, a width below 1 or an unknown activation.
    """
    if len(input_shape) != 3:
        raise InputError(f"cnn needs samples of shape (channels, height, width), not {tuple(input_shape)}; use mlp")
    planes, height, width = input_shape
    layers: list[nn.Module] = []
    for out in _widths("channels", channels):
        layers += [nn.Conv2d(planes, out, 3, stride=2, padding=1), _activation(activation)]
        planes, height, width = out, (height + 1) // 2, (width + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(planes * height * width, outputs))


def _activation(name: Any) -> nn.Module:
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise InputError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def _widths(name: str, widths: Any) -> list[int]:
    if not isinstance(widths, (list, tuple)) or not all(type(w) is int and w > 0 for w in widths):
        raise InputError(f"model option {name}={widths!r} must be a list of positive whole numbers")
    return list(widths)
