"""The whole state of a training as named tensors, which safetensors can hold."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def pack(step: int, curve: list[list[float]], model: nn.Module, stepper: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights, buffers, optimizer, random state, and the curve of losses so far; copies on the CPU."""
    state = {
        "step": torch.tensor(step),
        "curve": torch.tensor(curve, dtype=torch.float64).reshape(-1, 3),
        "random": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["random.cuda"] = torch.cuda.get_rng_state()
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, values in stepper.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items() if value is not None}
    return state | {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def unpack(
    state: Mapping[str, Tensor], model: nn.Module, stepper: torch.optim.Optimizer
) -> tuple[int, list[list[float]]]:
    """Put everything back; returns the step to go on with, and the curve."""
    model.load_state_dict({n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")})
    whole = stepper.state_dict()
    for name, tensor in state.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            whole["state"].setdefault(int(index), {})[key] = tensor
    stepper.load_state_dict(whole)
    torch.set_rng_state(state["random"])
    if "random.cuda" in state:
        torch.cuda.set_rng_state(state["random.cuda"])
    curve: list[list[float]] = state["curve"].tolist()
    return int(state["step"]), curve
