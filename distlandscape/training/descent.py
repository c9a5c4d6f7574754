"""Descent of a pack of trainings, in planes or in full space.

Shapes: B members, P parameters, d dimension of the plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from distlandscape import stopping
from distlandscape.data.blocks import Samples
from distlandscape.training.batches import batches
from distlandscape.training.optimizers import make_optimizer
from distlandscape.training.pack import Pack
from distlandscape.training.projections import Projection
from distlandscape.training.rows import AllRows
from distlandscape.training.schedule import learning_rate_at
from distlandscape.training.sphere import from_sphere, to_sphere


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a pack is trained; ``learning_rate`` and what follows are as in ``train``.

    Attributes:
        evaluate_every: steps from one evaluation on the held-out samples to the next; the end is always evaluated.
        stop_at: accuracy at which a member has reached its aim and stops; None: all steps are done.
        on_sphere: every point is drawn back to the distance its start has from 0: θ = |θ₀| u/|u|, u = θ₀ + A w.
    """

    steps: int
    learning_rate: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    schedule: str = "constant"
    warmup_steps: int = 0
    batch_size: int = 128
    evaluate_every: int = 100
    stop_at: float | None = None
    on_sphere: bool = False


@dataclass(frozen=True)
class Point:
    """One evaluation: the mean loss of the last mini-batch before its update, and the held-out samples."""

    step: int
    batch_loss: float
    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A member's outcome.

    Attributes:
        status: "finished", "stopped" at the accuracy asked for, or "diverged": loss or weights are no longer finite.
        steps: updates made.
        loss: mean loss on the held-out samples at the end, without weight decay; inf where it diverged.
        accuracy: share of right answers there; 0 where it diverged.
        distance: |θ − θ₀|.
        theta: final weights (P,); the last finite ones are not kept where it diverged.
        curve: evaluations along the way, the last step among them.
    """

    status: str
    steps: int
    loss: float
    accuracy: float
    distance: float
    theta: Tensor
    curve: list[Point] = field(default_factory=list)


class Descent:
    """One training of a pack; members leave it as they end."""

    def __init__(
        self,
        pack: Pack,
        planes: Sequence[Projection] | None,
        seeds: Sequence[int],
        rows: AllRows,
        held_out: AllRows,
        recipe: Recipe,
        first: int,
    ) -> None:
        self._pack, self._rows, self._held_out, self._recipe = pack, rows, held_out, recipe
        self._planes = None if planes is None else list(planes)
        self._orders = [batches(len(rows), recipe.batch_size, seed, first) for seed in seeds]
        width = pack.start_BP.shape[1] if planes is None else planes[0].dim
        self._w = nn.Parameter(pack.start_BP.new_zeros(len(seeds), width))
        self._rule = make_optimizer(recipe.optimizer, [self._w], recipe.learning_rate, recipe.momentum, 0.0)
        self._members = list(range(len(seeds)))  # those still training
        self._curves: list[list[Point]] = [[] for _ in seeds]
        self._done: dict[int, Trained] = {}

    def only_train(self, start: int, stop: int, tick: Callable[[int], None] = lambda step: None) -> Tensor:
        """Steps start…stop−1, which follow those done before, without looking; the weights (B, P)."""
        for step in range(start, stop):
            self._update(step)
            tick(step + 1)
        return self._theta()

    def run(self, tick: Callable[[int], None]) -> list[Trained]:
        """All steps, with evaluations."""
        recipe = self._recipe
        losses_B = torch.full((len(self._members),), float("nan"), dtype=torch.float64)
        for step in range(recipe.steps + 1):
            if step % recipe.evaluate_every == 0 or step == recipe.steps:
                self._evaluate(step, losses_B)
                if not self._members:
                    break
            losses_B = self._update(step).cpu()
            tick(step + 1)
        return [self._done[member] for member in range(len(self._done))]

    def _update(self, step: int) -> Tensor:
        """One update of all members; their losses before it, weight decay included."""
        stopping.look()
        recipe, decay = self._recipe, self._pack.objective.weight_decay
        x, y = self._rows.take(np.stack([next(order) for order in self._orders]))
        inputs, targets = self._tensors(x, y)
        theta_BP = self._theta()
        losses_B, gradients_BP = self._pack.gradients(theta_BP, inputs, targets)
        if decay:
            losses_B = losses_B + 0.5 * decay * theta_BP.square().sum(1)
            gradients_BP = gradients_BP.add_(theta_BP, alpha=decay)
        self._w.grad = self._pull(gradients_BP)
        for group in self._rule.param_groups:
            group["lr"] = learning_rate_at(
                step, recipe.steps, recipe.learning_rate, recipe.schedule, recipe.warmup_steps
            )
        self._rule.step()
        return losses_B

    def _evaluate(self, step: int, losses_B: Tensor) -> None:
        recipe = self._recipe
        theta_BP = self._theta()
        scores = self._pack.evaluate(theta_BP, self._held_out)
        finite_B = torch.isfinite(theta_BP).all(1).cpu() & torch.isfinite(scores.loss)
        stay = []
        for place, member in enumerate(self._members):
            loss, accuracy = float(scores.loss[place]), float(scores.accuracy[place])
            status = None
            if not finite_B[place]:
                status, loss, accuracy = "diverged", float("inf"), 0.0
            elif recipe.stop_at is not None and accuracy >= recipe.stop_at:
                status = "stopped"
            elif step == recipe.steps:
                status = "finished"
            self._curves[member].append(Point(step, float(losses_B[place]), loss, accuracy))
            if status is None:
                stay.append(place)
                continue
            theta_P = theta_BP[place].detach().cpu().clone()
            distance = float((theta_BP[place] - self._pack.start_BP[place]).double().norm())
            self._done[member] = Trained(status, step, loss, accuracy, distance, theta_P, self._curves[member])
        if len(stay) < len(self._members):
            self._keep(stay)

    def _keep(self, places: list[int]) -> None:
        """Members that ended leave, with all that was remembered of them."""
        self._pack.keep(places)
        self._members = [self._members[p] for p in places]
        self._orders = [self._orders[p] for p in places]
        if self._planes is not None:
            self._planes = [self._planes[p] for p in places]
        memory = self._rule.state.pop(self._w, {})
        self._w = nn.Parameter(self._w.detach()[places])
        self._rule.param_groups[0]["params"] = [self._w]
        self._rule.state[self._w] = {
            key: value[places] if isinstance(value, Tensor) and value.ndim else value for key, value in memory.items()
        }

    def _theta(self) -> Tensor:
        line_BP = self._plane_points()
        return to_sphere(line_BP, self._pack.start_BP) if self._recipe.on_sphere else line_BP

    def _plane_points(self) -> Tensor:
        w_Bd = self._w.detach()
        if self._planes is None:
            return self._pack.start_BP + w_Bd
        if self._shared:
            return self._planes[0].lift(w_Bd).add_(self._pack.start_BP)
        theta_BP = torch.empty_like(self._pack.start_BP)
        for plane, w_d, start_P, theta_P in zip(self._planes, w_Bd, self._pack.start_BP, theta_BP, strict=True):
            torch.add(plane.lift(w_d), start_P, out=theta_P)
        return theta_BP

    def _pull(self, gradients_BP: Tensor) -> Tensor:
        if self._recipe.on_sphere:
            gradients_BP = from_sphere(gradients_BP, self._plane_points(), self._pack.start_BP)
        if self._planes is None:
            return gradients_BP
        if self._shared:
            return self._planes[0].pull(gradients_BP)
        return torch.stack([plane.pull(g_P) for plane, g_P in zip(self._planes, gradients_BP, strict=True)])

    @property
    def _shared(self) -> bool:
        assert self._planes is not None
        return all(plane is self._planes[0] for plane in self._planes)

    def _tensors(self, x: Samples, y: Samples) -> tuple[Tensor, Tensor]:
        """Mini-batches (B, n, …) of all members; the store's scaling goes by channel, so members stand in one row."""
        flat = [array.reshape(-1, *array.shape[2:]) for array in (x, y)]
        inputs, targets = self._pack.objective.tensors(flat[0], flat[1], self._pack.device)
        return inputs.view(*x.shape), targets.view(*y.shape)
