"""SGD with momentum on mini-batches drawn without replacement, keeping weights at chosen steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from distlandscape.data.blocks import BlockStore
from distlandscape.errors import InputError
from distlandscape.objective import Objective

Keep = Callable[[int, nn.Module], None]
Report = Callable[[int, float], None]


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
) -> None:
    """Train a copy of the objective's model on its data and loss, calling ``keep(step, model)`` at ``keep_at``.

    Runs in this process on the CPU. The order of samples and what dropout drops depend on ``seed`` alone, so equal
    seeds and threads give equal bits; the global random state is left as it was.

    Raises:
        InputError: the loss or the weights are no longer finite, or the model does not train on such batches.
    """
    model = objective.trainable_copy()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=learning_rate, momentum=momentum)
    x, y = _all_samples(objective.data)
    batches = _batches(len(x), min(batch_size, len(x)), seed)
    cpu = torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(steps + 1):
            if step in keep_at:
                _require_finite(parameters, step, learning_rate)
                keep(step, model.eval())
            if step == steps:
                return
            chosen = next(batches)
            inputs, targets = objective.tensors(x[chosen], y[chosen], cpu)
            loss = _mean_loss(objective, model.train(), inputs, targets)
            _require_finite([loss], step, learning_rate)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            report(step + 1, float(loss.detach()))


def _mean_loss(objective: Objective, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    try:
        return objective.loss(model(inputs), targets).mean()
    except ValueError as error:  # BatchNorm and a batch of one
        raise InputError(
            f"the model does not train on batches of {len(inputs)} ({error}); change train.batch_size"
        ) from error


def _require_finite(tensors: Sequence[Tensor], step: int, learning_rate: float) -> None:
    """The loss of a step is taken before it, so weights are looked at as well before they are kept."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise InputError(f"training diverged at step {step}; lower train.learning_rate (now {learning_rate})")


def _all_samples(data: BlockStore) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    blocks = [data.block(index) for index in range(data.blocks)]
    return np.concatenate([x for x, _ in blocks]), np.concatenate([y for _, y in blocks])


def _batches(samples: int, size: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Index arrays, epoch after epoch; what is left of an epoch below one batch is dropped from training only."""
    generator = np.random.Generator(np.random.Philox(seed))
    while True:
        order = generator.permutation(samples)
        for start in range(0, samples - size + 1, size):
            yield order[start : start + size]
