"""Linearisations of micro-batches that stay in memory between passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from distlandscape.curvature.graph import held_bytes
from distlandscape.curvature.product import Linearised, Product
from distlandscape.errors import InputError
from distlandscape.objective import Batch, Objective
from distlandscape.objective.failures import is_out_of_memory
from distlandscape.runtime.memory import available_memory
from distlandscape.runtime.placed import state_of

Place = tuple[int, int]  # block, first sample of the micro-batch within it
SHARE = 0.5  # of the memory that was available at first, which "auto" leaves to others


class Kept:
    """Linearisations of one objective and product; other ones, other weights or another micro-batch drop them all.

    Micro-batches are kept in the order in which they come, until the next would exceed the budget: in a sweep that
    repeats, dropping the oldest for the newest would keep none.

    Attributes:
        bytes: what the kept linearisations hold.
    """

    def __init__(self, device: torch.device, memory: int | str) -> None:
        self._device, self._memory = device, memory
        self._owner: tuple[Objective, Product, int, list[tuple[int, int]]] | None = None
        self.forget()

    def __len__(self) -> int:
        return len(self._held)

    def forget(self) -> None:
        """Give all memory back, the objective included."""
        self._owner = None
        self._held: dict[Place, Linearised] = {}
        self._sizes: dict[int, int] = {}  # bytes by samples
        self.bytes = 0
        self._full = False
        self._at_first: int | None = None

    def claim(self, objective: Objective, product: Product, micro_batch: int) -> None:
        """Say whose linearisations the coming ones are."""
        weights = state_of(objective.model)
        owner = self._owner
        if owner is None or owner[0] is not objective or owner[1:] != (product, micro_batch, weights):
            self.forget()
            self._owner = (objective, product, micro_batch, weights)

    def products(self, place: Place, batch: Callable[[], Batch], arrays: Sequence[Any]) -> tuple[Tensor]:
        """Sums of a micro-batch, from its kept linearisation or a fresh one: the same bits.

        Raises:
            InputError: the budget does not hold the linearisation of a single sample.
        """
        assert self._owner is not None, "claim comes before"
        try:
            return self._linearised(place, batch)(*arrays)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or (self._full and not self._held):
                raise
        # Memory ran out: here the error, and with it the frames that hold tensors, is gone. Go on with nothing kept.
        self._held.clear()
        self.bytes, self._full = 0, True
        return self._linearised(place, batch)(*arrays)

    def _linearised(self, place: Place, batch: Callable[[], Batch]) -> Linearised:
        """The kept one, or a fresh one, which stays where it fits."""
        if place in self._held:
            return self._held[place]
        if self._at_first is None:
            self._at_first = available_memory(self._device)
        assert self._owner is not None, "claim comes before"
        objective, product = self._owner[:2]
        micro_batch = batch()
        linear = product.linearise(objective, micro_batch)
        if not self._full:
            # To walk a graph takes as long as a small net's gradient; as many samples have the same one.
            samples = len(micro_batch.x)
            if samples not in self._sizes:
                self._sizes[samples] = held_bytes(linear.roots)
            size = self._sizes[samples]
            if self._fits(size, samples):
                self._held[place] = linear
                self.bytes += size
            else:
                self._full = True
        return linear

    def _fits(self, size: int, samples: int) -> bool:
        if isinstance(self._memory, int):
            if not self._held and size > self._memory * samples:
                raise InputError(
                    f"runtime.memory of {self._memory} bytes does not hold the linearisation of one sample, which takes"
                    f" {-(-size // samples)}; raise it, or choose product 'double_backward'"
                )
            return self.bytes + size <= self._memory
        left = available_memory(self._device)
        return left is not None and self._at_first is not None and left > SHARE * self._at_first
