"""One point measured, or some trainings that begin at one radius, as a task: a pure function of its configuration."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from dataclasses import dataclass
from typing import Any

from distlandscape.config import RunConfig
from distlandscape.data import BlockStore
from distlandscape.runtime import LocalRunner
from distlandscape.studies.goldilocks_measure import measure_point
from distlandscape.studies.goldilocks_point import given_point, random_point
from distlandscape.studies.hyperplane_task import training_samples
from distlandscape.studies.training_task import PackTraining
from distlandscape.training.projections import make_projection
from distlandscape.training.subspace import Recipe

CURVATURE, TRAINING = "curvature", "training"
# What says which points and trainings there are, and not what one of them is.
SWEEP = {"radii", "temperatures", "points", "dims", "modes", "trainings", "point"}


@dataclass(frozen=True)
class Task:
    """What is done at one place.

    Attributes:
        train: path and digest of the store that is measured and trained on.
        test: the same of the held-out samples; None keeps a share of the samples for that.
        what: CURVATURE or TRAINING.
        multiple: radius over Glorot's; None: at the given weights.
        weights: path and sha256 of the given weights, for ``multiple`` None.
        seeds: of the points; one for a measurement.
        mode: "sphere" or "free", of trainings.
        dim: of their planes.
    """

    config: RunConfig
    train: tuple[str, str]
    test: tuple[str, str] | None
    what: str
    temperature: float
    multiple: float | None
    weights: tuple[str, str] | None
    seeds: tuple[int, ...]
    mode: str = ""
    dim: int = 0

    @property
    def key(self) -> str:
        """Hash of all that decides the numbers."""
        tree = self.config.model_dump(mode="json", include={"data", "model", "objective", "train"})
        tree["goldilocks"] = self.config.goldilocks.model_dump(mode="json", exclude=SWEEP)
        digests = [self.train[1], self.test and self.test[1], self.weights and self.weights[1]]
        what = [tree, *digests, self.what, self.temperature, self.multiple, self.seeds, self.mode, self.dim]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def place(self) -> dict[str, Any]:
        """What tells it from other tasks, in a log."""
        where = {"temperature": self.temperature, "multiple": self.multiple}
        return {"what": self.what, **where, "mode": self.mode, "dim": self.dim}


def perform(task: Task) -> dict[str, Any]:
    """Measure or train; the outcome as plain values.

    Cost of a measurement: as many products as the largest plane has dimensions, twice ``norm_probes`` of the terms, and
    the Lanczos steps of the outliers and of the density.
    """
    began = time.monotonic()
    members = _measured(task) if task.what == CURVATURE else _trained(task)
    return {"key": task.key, **task.place, "members": members, "seconds": time.monotonic() - began}


def _measured(task: Task) -> list[dict[str, Any]]:
    data, other = _stores(task.train, task.test)
    (seed,) = task.seeds
    # float64: near a corner of the simplex 1 − p is lost in float32, and the whole curvature with it.
    if task.multiple is None:
        assert task.weights is not None, "a given point has weights"
        objective = given_point(task.config, task.weights[0], task.temperature, data, other)
    else:
        objective = random_point(task.config, seed, task.temperature, task.multiple, data, other, "float64")
    r = task.config.runtime
    return [{"seed": seed, **measure_point(objective, task.config, seed, LocalRunner(r.threads, r.micro_batch))}]


def _trained(task: Task) -> list[dict[str, Any]]:
    return [
        {
            "seed": seed,
            "status": one.status,
            "accuracy": one.accuracy,
            "loss": _finite(one.loss),
            "accuracy_before": one.curve[0].accuracy,
            "distance": _finite(one.distance),
            "end_radius": _finite(float(one.theta.double().norm())),
        }
        for seed, one in zip(task.seeds, prepare(task).run(), strict=True)
    ]


def prepare(task: Task) -> PackTraining:
    """The trainings of a place with their networks, planes and samples, ready to begin."""
    c, g = task.config, task.config.goldilocks
    data, rows, held_out = training_samples(task.train, task.test, g.hold_out)
    test = BlockStore.open(task.test[0]) if task.test is not None else None
    multiple = task.multiple
    assert multiple is not None and c.train.steps is not None, "trainings begin at random points"
    objectives = [
        random_point(c, seed, task.temperature, multiple, data, test, c.objective.dtype) for seed in task.seeds
    ]
    recipe = Recipe(
        steps=c.train.steps,
        learning_rate=g.learning_rate * multiple,  # one step turns the weights by the same angle at every radius
        optimizer="adam",
        batch_size=c.train.batch_size,
        evaluate_every=max(1, c.train.steps),
        on_sphere=task.mode == "sphere",
    )
    planes = [
        make_projection("auto", objectives[0].parameters, task.dim, _plane_seed(seed, task.dim)) for seed in task.seeds
    ]
    return PackTraining(objectives, planes, task.seeds, rows, held_out, recipe)


def _plane_seed(seed: int, dim: int) -> int:
    """Planes of different dimensions and seeds have nothing in common."""
    return int.from_bytes(hashlib.sha256(f"goldilocks/{seed}/{dim}".encode()).digest()[:7])


@functools.lru_cache(maxsize=1)
def _stores(train: tuple[str, str], test: tuple[str, str] | None) -> tuple[BlockStore, BlockStore | None]:
    """What a worker keeps from task to task."""
    return BlockStore.open(train[0]), None if test is None else BlockStore.open(test[0])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
