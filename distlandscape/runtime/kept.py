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
from distlandscape.runtime.memory import available_memory, is_out_of_memory

Place = tuple[int, int]  # block, first sample of the micro-batch within it
SHARE = 0.5  # of the memory that was available at first, which "auto" leaves to others


class Kept:
    """Linearisations of one objective and one product; another objective, product or weights drop them all.

    Micro-batches are kept in the order in which they come, until the next would exceed the budget: in a sweep that
    repeats, dropping the oldest for the newest would keep none.

    Attributes:
        bytes: what the kept linearisations hold.
    """

    def __init__(self, device: torch.device, memory: int | str) -> None:
        self._device, self._memory = device, memory
        self._owner: tuple[Objective, Product, list[tuple[int, int]]] | None = None
        self.forget()

    def __len__(self) -> int:
        return len(self._held)

    def forget(self) -> None:
        """Give all memory back, the objective included."""
        self._owner = None
        self._held: dict[Place, Linearised] = {}
        self.bytes = 0
        self._full = False
        self._at_first: int | None = None

    def claim(self, objective: Objective, product: Product) -> None:
        """Say whose linearisations the coming ones are."""
        tensors = [*objective.model.parameters(), *objective.model.buffers()]
        weights = [(t.data_ptr(), t._version) for t in tensors]
        owner = self._owner
        if owner is None or owner[0] is not objective or owner[1] != product or owner[2] != weights:
            self.forget()
            self._owner = (objective, product, weights)

    def products(self, place: Place, batch: Callable[[], Batch], arrays: Sequence[Any]) -> tuple[Tensor]:
        """Sums of a micro-batch, from its kept linearisation or a fresh one: the same bits.

        Raises:
            InputError: the budget does not hold the linearisation of a single sample.
        """
        assert self._owner is not None, "claim comes before"
        objective, product, _ = self._owner
        if not self._full:
            try:
                return self._linearised(objective, product, place, batch)(*arrays)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
        elif place in self._held:
            return self._held[place](*arrays)
        else:
            return product(objective, batch(), *arrays)
        # Memory ran out: here the error, and with it the frames that hold tensors, is gone. Go on with nothing kept.
        self._held.clear()
        self.bytes, self._full = 0, True
        return product(objective, batch(), *arrays)

    def _linearised(
        self, objective: Objective, product: Product, place: Place, batch: Callable[[], Batch]
    ) -> Linearised:
        if place in self._held:
            return self._held[place]
        if self._at_first is None:
            self._at_first = available_memory(self._device)
        micro_batch = batch()
        linear = product.linearise(objective, micro_batch)
        size = held_bytes(linear.roots)
        if self._fits(size, len(micro_batch.x)):
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
