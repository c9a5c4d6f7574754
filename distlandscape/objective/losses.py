"""Losses of one sample, and what each says about the distribution of its targets.

Shapes: n samples, C logits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from distlandscape.errors import InputError
from distlandscape.objective.failures import told
from distlandscape.objective.private_copy import convert, detached_copy

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each sample (n,) from logits (n, C) and integer labels (n,).

    With ``smoothing`` ε the target is (1 − ε) one-hot + ε/C (Szegedy et al. 2016).
    """
    return nn.functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Σ_k (z_k − y_k)² of each sample (n,); integer labels stand for one-hot targets."""
    if targets.ndim == 1 and not targets.is_floating_point():
        targets = nn.functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return (outputs - targets.reshape(outputs.shape)).square().sum(1)


@dataclass(frozen=True)
class TheirLoss:
    """A user's function of logits and targets; what it raises is told as a sentence.

    Attributes:
        func: the function.
        copies: whether it is handed copies, because it writes into what it is given.
    """

    func: Loss
    copies: bool = False

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """One value a sample (n,)."""
        with told("the loss cannot be computed from these targets", "give targets that fit"):
            return self.func(logits.clone(), targets.clone()) if self.copies else self.func(logits, targets)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": mse}


def resolve_loss(loss: Any, label_smoothing: Any, dtype: torch.dtype) -> Loss:
    """The function behind a name, or the given function; a module is copied, as models are.

    Raises:
        InputError: unknown name, no function, or smoothing of a loss without classes.
    """
    if not isinstance(label_smoothing, (int, float)) or not 0 <= label_smoothing < 1:
        raise InputError(f"label_smoothing={label_smoothing} must be at least 0 and less than 1; correct it")
    if label_smoothing and loss != "cross_entropy":
        raise InputError("label_smoothing is defined for loss cross_entropy only; set it to 0")
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise InputError(
                f"loss {loss!r} is unknown; known: {', '.join(LOSSES)}, or a function of one value a sample"
            )
        return functools.partial(cross_entropy, smoothing=label_smoothing) if label_smoothing else LOSSES[loss]
    if not callable(loss):
        raise InputError(f"loss {loss!r} is neither a name ({', '.join(LOSSES)}) nor a function; give one of them")
    if isinstance(loss, nn.Module):
        with told("the loss cannot be copied", "hold in it what copy.deepcopy can copy"):
            loss = detached_copy(loss).requires_grad_(False)
        loss.eval()
        convert(loss, dtype)
    return TheirLoss(loss)
