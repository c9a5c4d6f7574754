"""An objective whose model is on the device of the products, while the one handed over stays where it is."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from distlandscape.objective import Objective
from distlandscape.objective.private_copy import detached_copy

State = list[tuple[int, int]]


def state_of(model: nn.Module) -> State:
    """Changes with every change of a parameter or buffer that torch sees."""
    return [(t.data_ptr(), t._version) for t in (*model.parameters(), *model.buffers())]


class Placed:
    """Holds the last objective's copy on the device; made once, as long as its weights stay.

    Args:
        device: where the copy is.
        make_room: called before another copy takes memory there.
    """

    def __init__(self, device: torch.device, make_room: Callable[[], object] = lambda: None) -> None:
        self._device, self._make_room = device, make_room
        self._copy: tuple[Objective, State, Objective] | None = None

    def __call__(self, objective: Objective) -> Objective:
        """The objective itself where its model is on the device already, else the copy."""
        model = objective.model
        if all(t.device == self._device for t in (*model.parameters(), *model.buffers())):
            self._copy = None
            return objective
        state = state_of(model)
        if self._copy is None or self._copy[0] is not objective or self._copy[1] != state:
            self._copy = None  # before the next one: two might not fit
            self._make_room()
            placed = copy.copy(objective)
            placed.model = detached_copy(model).to(self._device)
            self._copy = (objective, state, placed)
        return self._copy[2]

    def forget(self) -> None:
        """Give the memory back."""
        self._copy = None
