"""Softmax at another temperature: logits are divided before anyone sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Divide:
    """A forward hook; the model keeps the names of its parameters."""

    temperature: float

    def __call__(self, model: nn.Module, arguments: Any, out: Any) -> Any:
        """The logits over T."""
        return getattr(out, "logits", out) / self.temperature


def temper(model: nn.Module, temperature: float) -> None:
    """Make ``model`` return z/T, so that its softmax is softmax(z/T); 1 leaves it untouched."""
    if temperature != 1:
        model.register_forward_hook(Divide(temperature))
