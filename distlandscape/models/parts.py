"""What the networks of the zoo share: checked options, activations, normalisation layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from distlandscape.errors import InputError

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(channels, 8), channels),
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda channels: nn.Identity(),
}


def make_activation(name: Any) -> nn.Module:
    """A new activation layer; InputError for an unknown name."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise InputError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def make_norm(name: Any, channels: int) -> nn.Module:
    """A new normalisation layer over the channels of images; InputError for an unknown name."""
    return NORMS[checked_choice("norm", name, list(NORMS))](channels)


def checked_widths(name: str, widths: Any) -> list[int]:
    """A list of positive whole numbers; InputError for anything else."""
    if not isinstance(widths, (list, tuple)) or not all(type(w) is int and w > 0 for w in widths):
        raise InputError(
            f"model option {name}={widths!r} must be a list of positive whole numbers, such as [64, 32]; correct it"
        )
    return list(widths)


def checked_count(name: str, value: Any) -> int:
    """A positive whole number; InputError for anything else."""
    if type(value) is not int or value < 1:
        raise InputError(f"model option {name}={value!r} must be a positive whole number; correct it")
    return value


def checked_choice(name: str, value: Any, known: Sequence[str]) -> str:
    """One of a few words; InputError for anything else."""
    if not isinstance(value, str) or value not in known:
        raise InputError(f"unknown model option {name}={value!r}; known: {', '.join(known)}")
    return value


def scaled_channels(channels: Sequence[int], width: Any) -> list[int]:
    """Numbers of channels times a multiplier; InputError where they are not positive whole numbers."""
    if isinstance(width, bool) or not isinstance(width, (int, float)):
        raise InputError(f"model option width={width!r} must be a number that multiplies the channels, such as 2")
    scaled = [c * width for c in channels]
    if not all(math.isfinite(c) and c >= 1 and c == int(c) for c in scaled):
        raise InputError(
            f"model option width={width!r} turns channels {list(channels)} into {scaled}; choose one that keeps them"
            " whole and positive"
        )
    return [int(c) for c in scaled]


def image_shape(model: str, input_shape: Sequence[int], least: int = 1) -> tuple[int, int, int]:
    """(channels, height, width) of samples that are images of at least so many pixels a side.

    Raises:
        InputError: samples of another shape, or too small.
    """
    if len(input_shape) != 3:
        raise InputError(f"{model} needs samples of shape (channels, height, width), not {tuple(input_shape)}; use mlp")
    planes, height, width = input_shape
    if min(height, width) < least:
        raise InputError(f"{model} needs images of at least {least}×{least}, not {height}×{width}; use cnn")
    return planes, height, width
