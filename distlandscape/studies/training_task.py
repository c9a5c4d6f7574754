"""A pack of trainings that is ready to begin, and how long its parts take."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from distlandscape.objective import Objective
from distlandscape.runtime.device import default_device
from distlandscape.training.pack import CHUNK
from distlandscape.training.projections import Projection
from distlandscape.training.rows import AllRows
from distlandscape.training.subspace import Recipe, Trained, train_pack

PROBE_STEPS = 8
COPIES = 8  # of a member's θ in an update: start, point, gradient, its pieces, and what Adam remembers


@dataclass(frozen=True)
class PackTraining:
    """What ``train_pack`` takes; ``made`` is the construction of the planes, and ``why`` the reason for it."""

    objectives: Sequence[Objective]
    planes: Sequence[Projection] | None
    seeds: Sequence[int]
    rows: AllRows
    held_out: AllRows
    recipe: Recipe
    burn_in: Recipe | None = None
    burn_in_steps: int = 0
    made: str = ""
    why: str = ""

    def run(self, tick: Callable[[int], None] = lambda step: None) -> list[Trained]:
        """Train."""
        return train_pack(
            self.objectives,
            self.planes,
            self.seeds,
            self.rows,
            self.held_out,
            self.recipe,
            burn_in=self.burn_in,
            burn_in_steps=self.burn_in_steps,
            device=default_device(),
            tick=tick,
        )

    @property
    def held_bytes(self) -> float:
        """Memory of weights, gradients and planes, without the activations of a mini-batch."""
        one = self.objectives[0]
        planes = {id(plane): plane for plane in self.planes or ()}.values()
        tensors = [value for plane in planes for value in vars(plane).values() if isinstance(value, torch.Tensor)]
        weights = COPIES * len(self.objectives) * one.parameters * one.theta.element_size()
        return weights + sum(tensor.nbytes for tensor in tensors)


@dataclass(frozen=True)
class Pace:
    """Seconds of a pack.

    Attributes:
        begin: until it can take its first step.
        step: an update of all members.
        evaluation: all members on all held-out samples.
        held_bytes: see ``PackTraining``.
    """

    begin: float
    step: float
    evaluation: float
    held_bytes: float

    def seconds(self, steps: int, evaluate_every: int) -> float:
        """Of a whole training."""
        evaluations = 1 + -(-steps // evaluate_every)
        return self.begin + steps * self.step + evaluations * self.evaluation


def pace(prepare: Callable[[], PackTraining], steps: int = PROBE_STEPS) -> Pace:
    """Time a pack by a few of its steps, at least two, and two evaluations on a part of the held-out samples."""
    began = time.perf_counter()
    pack = prepare()
    begin = time.perf_counter() - began
    some = AllRows(pack.held_out.x[:CHUNK], pack.held_out.y[:CHUNK])
    recipe = dataclasses.replace(
        pack.recipe, steps=steps, schedule="constant", warmup_steps=0, evaluate_every=steps, stop_at=None
    )
    ticks: list[float] = []
    short = dataclasses.replace(pack, held_out=some, recipe=recipe, burn_in=None, burn_in_steps=0)
    short.run(lambda step: ticks.append(time.perf_counter()))
    evaluation = time.perf_counter() - ticks[-1]
    step = statistics.median(later - earlier for earlier, later in itertools.pairwise(ticks))
    return Pace(begin, step, evaluation * len(pack.held_out) / len(some), pack.held_bytes)
