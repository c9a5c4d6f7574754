"""Descent on mini-batches, keeping weights at chosen steps, going on from a kept state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from distlandscape import stopping
from distlandscape.errors import TrainingError
from distlandscape.objective import Objective
from distlandscape.objective.failures import brief, is_of_the_user, told
from distlandscape.training.batches import batches
from distlandscape.training.optimizers import make_optimizer
from distlandscape.training.rows import Rows
from distlandscape.training.schedule import learning_rate_at
from distlandscape.training.state import Journal, capture_state, restore_state

Keep = Callable[[int, nn.Module], None]
Report = Callable[[int, float], None]


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
    device: str | torch.device = "cpu",
    journal: Journal | None = None,
) -> None:
    """Minimise the objective on mini-batches of its data, from its weights on, in a copy of its model.

    What is minimised is the mean loss plus (λ/2)|θ|², weight decay included; ``report(step, value)`` tells it of the
    batch of each update. Only the objective's parameters move, and the buffers of BatchNorm. ``keep(step, model)`` is
    called at ``keep_at``. The order of samples and what dropout drops depend on ``seed`` alone, so equal seeds and
    threads give equal bits, with or without interruptions; the global random state is left as it was.

    Args:
        objective: model, data and loss.
        steps: number of updates.
        seed: of order and dropout.
        learning_rate: what the schedule starts from, after its rise over ``warmup_steps``.
        momentum: of "sgd".
        batch_size: samples of one update; at most all of them are taken.
        keep_at: steps at which ``keep`` is called.
        keep: gets the step and the model in eval mode.
        report: gets the number of the update and the loss before it.
        optimizer: "sgd" or "adam".
        schedule: "constant", "cosine" or "step".
        warmup_steps: updates over which the learning rate rises.
        device: where the model and the batches are.
        journal: keeps the state under way; where it holds one, training goes on from there.

    Raises:
        TrainingError: the loss or the weights are no longer finite, or the model does not train on such batches.
        InputError: unknown optimizer or schedule.
    """
    place = torch.device(device)
    model = objective.trainable_copy().to(place)
    parameters = [p for p in model.parameters() if p.requires_grad]
    rule = make_optimizer(optimizer, parameters, learning_rate, momentum, objective.weight_decay)
    keep_steps = frozenset(keep_at)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(seed)
        first = 0
        kept = journal.restore() if journal is not None else None
        if kept is not None:
            first, state = kept
            restore_state(state, model, rule, place)
        rows = Rows(objective.data)
        order = batches(objective.samples, batch_size, seed, first)
        for step in range(first, steps + 1):
            if step in keep_steps:
                _require_finite(parameters, step, learning_rate)
                keep(step, model.eval())
            if step == steps:
                return
            stopping.look()
            if journal is not None and step > first:
                journal.commit(step, lambda: capture_state(model, rule, place))
            inputs, targets = objective.tensors(*rows.take(next(order)), place)
            loss = _mean_loss(objective, model.train(), inputs, targets)
            _require_finite([loss], step, learning_rate)
            decay = 0.5 * objective.weight_decay * _square(parameters) if objective.weight_decay else 0.0
            for group in rule.param_groups:
                group["lr"] = learning_rate_at(step, steps, learning_rate, schedule, warmup_steps)
            rule.zero_grad()
            with told("the loss of a mini-batch cannot be differentiated", "replace what raises this"):
                torch.autograd.backward(loss)
            for parameter in parameters:
                if parameter.grad is None:  # the loss does not know it, but weight decay does
                    parameter.grad = torch.zeros_like(parameter)
            rule.step()
            report(step + 1, float(loss.detach()) + decay)


def _mean_loss(objective: Objective, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    try:
        out = model(inputs)
        return objective.loss(getattr(out, "logits", out), targets).mean()
    except Exception as error:  # BatchNorm and a batch of one, or whatever else the user's code raises in train mode
        if not is_of_the_user(error):
            raise
        raise TrainingError(
            f"the model does not train on batches of {len(inputs)} ({brief(error)}); change train.batch_size, or the"
            " model, and start again"
        ) from error


def _square(tensors: Sequence[Tensor]) -> float:
    return sum(float(tensor.detach().double().square().sum()) for tensor in tensors)


def _require_finite(tensors: Sequence[Tensor], step: int, learning_rate: float) -> None:
    """The loss of a step is taken before it, so weights are looked at as well before they are kept."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise TrainingError(
            f"training diverged at step {step}; lower train.learning_rate (now {learning_rate}) and start again"
        )
