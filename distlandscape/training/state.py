"""Everything a step of training depends on, as named tensors: what is stored and put back, without loss of a bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

State = dict[str, Tensor]


class Journal(Protocol):
    """Where the state of a training under way is kept."""

    def restore(self) -> tuple[int, State] | None:
        """The newest step and state that were kept, or None."""

    def commit(self, step: int, state: Callable[[], State]) -> None:
        """Called before every step but the first; calls ``state`` and keeps the outcome when that is worth its time."""


def capture_state(model: nn.Module, optimizer: Optimizer, device: torch.device) -> State:
    """Copies of parameters, buffers, the optimizer's memory and the state of the random generators."""
    state = {f"model.{name}": tensor for name, tensor in _tensors(model)}
    for index, memory in optimizer.state_dict()["state"].items():
        # SGD without momentum remembers None.
        state |= {f"optimizer.{index}.{key}": value for key, value in memory.items() if value is not None}
    state["random.cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        state["random.device"] = torch.cuda.get_rng_state(device)
    return {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}


def restore_state(state: Mapping[str, Tensor], model: nn.Module, optimizer: Optimizer, device: torch.device) -> None:
    """Put back what ``capture_state`` took."""
    with torch.no_grad():
        for name, tensor in _tensors(model):
            tensor.copy_(state[f"model.{name}"])
    memories: dict[int, State] = {}
    for name, tensor in state.items():
        kind, _, place = name.partition(".")
        if kind == "optimizer":
            index, _, key = place.partition(".")
            memories.setdefault(int(index), {})[key] = tensor.clone()
    optimizer.load_state_dict({"state": memories, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(state["random.cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["random.device"], device)


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Also the buffers that a state dict leaves out."""
    yield from model.named_parameters()
    yield from model.named_buffers()
