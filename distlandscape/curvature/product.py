"""What every product of a micro-batch is to the runtime: a block function whose costly half can be kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from distlandscape.objective import Batch, Objective


class Linearised(Protocol):
    """A micro-batch at θ after its forward and first backward; calling it costs what one vector more costs."""

    @property
    def roots(self) -> Sequence[Tensor]:
        """Tensors whose graphs are all it holds in memory."""

    def __call__(self, V_KP: Tensor, *arguments: Any) -> tuple[Tensor]:
        """Sum over the micro-batch of the operator times each row of ``V_KP``; (K, P), the same bits every time."""


class Product(ABC):
    """A linear map of vectors, by double backward, by a kept linearisation or by forward over reverse.

    Instances compare by what they compute and pickle by name, so workers recognise one that they have met.
    """

    @abstractmethod
    def linearise(self, objective: Objective, batch: Batch) -> Linearised:
        """Everything that does not depend on vectors.

        Cost: forward and first backward.

        Raises:
            InputError: an operation of the model has no second derivative.
        """

    @abstractmethod
    def forward(self, objective: Objective, batch: Batch, V_KP: Tensor, *arguments: Any) -> tuple[Tensor]:
        """The same sums by forward-mode differentiation, in other bits; nothing is shared between vectors."""

    def __call__(self, objective: Objective, batch: Batch, V_KP: Tensor, *arguments: Any) -> tuple[Tensor]:
        """Linearise, multiply, forget: double backward, bit for bit what a kept linearisation gives."""
        return self.linearise(objective, batch)(V_KP, *arguments)
