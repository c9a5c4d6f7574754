"""SGD with momentum or Adam, keeping weights at chosen steps and its whole state now and then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from distlandscape.errors import Diverged, InputError
from distlandscape.objective import Objective
from distlandscape.training.batches import Batches
from distlandscape.training.schedule import learning_rate as rate_of
from distlandscape.training.state import pack, unpack

Keep = Callable[[int, nn.Module], None]
Report = Callable[[int, float], None]
CURVE_ROWS = 2000  # of the curve of losses that is kept


class TrainingState(Protocol):
    """Keeps the state of a training, so that a crash costs only what came since."""

    def restore(self) -> Mapping[str, Tensor] | None:
        """The state kept last; None: begin at the beginning."""

    def offer(self, step: int, state: Callable[[], Mapping[str, Tensor]]) -> None:
        """Called before every step; may keep ``state()`` now or later."""


class _Forgetful:
    def restore(self) -> None:
        return None

    def offer(self, step: int, state: Callable[[], Mapping[str, Tensor]]) -> None:
        pass


def checkpoint_steps(steps: int, count: int) -> list[int]:
    """Steps at which weights are kept: the last alone, or 0 and the others evenly spaced in log(step)."""
    if count == 1 or steps == 0:
        return [steps]
    spaced = np.round(np.geomspace(1, steps, count - 1)) if count > 2 else np.empty(0)
    return sorted({0, *map(int, spaced), steps})


def train(
    objective: Objective,
    *,
    steps: int,
    seed: int,
    learning_rate: float,
    momentum: float,
    batch_size: int,
    keep_at: list[int],
    keep: Keep,
    report: Report,
    optimizer: str = "sgd",
    schedule: str = "constant",
    warmup_steps: int = 0,
    device: torch.device | None = None,
    state: TrainingState | None = None,
) -> Tensor:
    """Train a copy of the objective's model on its data and loss, calling ``keep(step, model)`` at ``keep_at``.

    Minimises the objective, weight decay included, over mini-batches; BatchNorm layers are in train mode. The order of
    samples and what dropout drops depend on ``seed`` alone, so equal seeds and threads give equal bits, also when the
    training was interrupted and goes on from ``state``; the global random state is left as it was.

    Returns:
        The curve (rows, 3): steps done, loss of the last of their mini-batches, its learning rate; at most 2,000 rows.

    Raises:
        Diverged: the loss or the weights are no longer finite.
        InputError: the model does not train on such batches.
    """
    device = device or torch.device("cpu")
    state = state if state is not None else _Forgetful()
    model = objective.trainable_copy().to(device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    stepper = _optimizer(optimizer, parameters, learning_rate, momentum, objective.weight_decay)
    batches = Batches(objective.data, min(batch_size, objective.samples), seed)
    every = max(1, -(-steps // CURVE_ROWS))
    curve: list[list[float]] = []
    first = 0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        kept = state.restore()
        if kept is not None:
            first, curve = unpack(kept, model, stepper)
        for step in range(first, steps + 1):
            if step in keep_at:
                _require_finite(parameters, step, learning_rate)
                keep(step, model.eval())
            if step == steps:
                break
            state.offer(step, lambda step=step: pack(step, curve, model, stepper))  # type: ignore[misc]
            inputs, targets = objective.tensors(*batches.batch(step), device)
            loss = _mean_loss(objective, model.train(), inputs, targets)
            _require_finite([loss], step, learning_rate)
            rate = rate_of(step, base=learning_rate, schedule=schedule, steps=steps, warmup=warmup_steps)
            for group in stepper.param_groups:
                group["lr"] = rate
            stepper.zero_grad()
            torch.autograd.backward(loss)
            stepper.step()
            report(step + 1, float(loss.detach()))
            if (step + 1) % every == 0:
                curve.append([step + 1, float(loss.detach()), rate])
    return torch.tensor(curve, dtype=torch.float64).reshape(-1, 3)


def _optimizer(
    name: str, parameters: list[nn.Parameter], rate: float, momentum: float, decay: float
) -> torch.optim.Optimizer:
    """Weight decay is coupled in both, as part of the gradient: it is part of the objective."""
    if name == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=momentum, weight_decay=decay)


def _mean_loss(objective: Objective, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    try:
        out = model(inputs)
        return objective.loss(getattr(out, "logits", out), targets).mean()
    except ValueError as error:  # BatchNorm and a batch of one
        raise InputError(
            f"the model does not train on batches of {len(inputs)} ({error}); change train.batch_size"
        ) from error


def _require_finite(tensors: Sequence[Tensor], step: int, rate: float) -> None:
    """The loss of a step is taken before it, so weights are looked at as well before they are kept."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise Diverged(f"training diverged at step {step}; lower train.learning_rate (now {rate})")
