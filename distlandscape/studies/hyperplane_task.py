"""One pack of trainings in planes as a task: a pure function of its configuration, with data held by the worker."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distlandscape.config import RunConfig
from distlandscape.config.studies import HyperplaneConfig
from distlandscape.data import BlockStore
from distlandscape.display import counted
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime.device import default_device
from distlandscape.studies.context import build_objective
from distlandscape.studies.hyperplane_planes import (
    GIVEN,
    TRAJECTORY,
    chosen_kind,
    hessian_planes,
    random_planes,
    trajectory_planes,
)
from distlandscape.studies.training_task import PackTraining
from distlandscape.training.projections import Projection
from distlandscape.training.rows import AllRows
from distlandscape.training.subspace import Recipe, Trained

FULL = "full"  # the kind of a training without a plane
# What says which trainings there are, and not what one of them is.
SWEEP = {"kinds", "burn_in", "dims", "rounds", "seeds", "budget_trainings", "budget_minutes"}


@dataclass(frozen=True)
class PackTask:
    """Trainings of some seeds in planes of one kind, dimension and burn-in.

    Attributes:
        train: path and digest of the store that is trained on.
        test: the same of the held-out samples; None keeps the last ``hold_out`` of the samples for that.
    """

    config: RunConfig
    train: tuple[str, str]
    test: tuple[str, str] | None
    kind: str
    burn_in: int
    dim: int
    seeds: tuple[int, ...]

    @property
    def key(self) -> str:
        """Hash of all that decides the numbers of the pack; the same as before ``evaluate_on`` was a choice."""
        sections = {"data", "model", "objective", "train"}
        tree = self.config.model_dump(mode="json", include=sections)
        h = self.config.hyperplane
        later = {"evaluate_on"} if h.evaluate_on == "test" else set[str]()
        tree["hyperplane"] = h.model_dump(mode="json", exclude=SWEEP | later)
        what = [tree, self.train[1], self.test and self.test[1], self.kind, self.burn_in, self.dim, self.seeds]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def perform(task: PackTask) -> dict[str, Any]:
    """Train the pack; its members' outcomes as plain values.

    Cost: steps × members products of A and of Aᵀ, gradients of a mini-batch, the evaluations, and what planes of the
    network itself cost.
    """
    began = time.monotonic()
    pack = prepare(task)
    outcome = _plain(task, pack.run(), pack.made or FULL, began)
    return outcome if pack.planes is None else {**outcome, "why": pack.why}


def prepare(task: PackTask) -> PackTraining:
    """The pack with its networks, planes and samples, ready to begin."""
    c, h = task.config, task.config.hyperplane
    store, rows, held_out = training_samples(task.train, task.test, h.hold_out)
    evaluated = rows if h.evaluate_on == "train" else held_out
    test = BlockStore.open(task.test[0]) if task.test is not None else None
    objectives = [build_objective(_seeded(c, seed), store, test) for seed in task.seeds]
    assert c.train.steps is not None, "the runner resolves train.steps"
    full = Recipe(
        steps=c.train.steps,
        learning_rate=c.train.learning_rate,
        optimizer=c.train.optimizer,
        momentum=c.train.momentum,
        schedule=c.train.schedule,
        warmup_steps=c.train.warmup_steps,
        batch_size=c.train.batch_size,
        evaluate_every=h.evaluate_every,
    )
    if task.kind == FULL:
        return PackTraining(objectives, None, task.seeds, rows, evaluated, full)
    confined = Recipe(
        steps=h.steps or c.train.steps,
        learning_rate=h.learning_rate,
        optimizer=h.optimizer,
        momentum=c.train.momentum,
        schedule=c.train.schedule,
        warmup_steps=c.train.warmup_steps,
        batch_size=c.train.batch_size,
        evaluate_every=h.evaluate_every,
        stop_at=h.target_accuracy if h.stop_at_target else None,
    )
    burn_in = full if task.burn_in else None
    planes, made, why = _planes(task, objectives, rows, full, default_device())
    return PackTraining(
        objectives, planes, task.seeds, rows, evaluated, confined, burn_in, task.burn_in, made=made, why=why
    )


def _planes(
    task: PackTask, objectives: list[Objective], rows: AllRows, full: Recipe, device: torch.device
) -> tuple[list[Projection], str, str]:
    """The members' planes, their construction, and why it was chosen."""
    h, P = task.config.hyperplane, objectives[0].parameters
    made, why = chosen_kind(h, task.kind, P, task.dim)
    if made not in GIVEN:
        return random_planes(h, made, P, task.dim, task.seeds), made, why
    given = trajectory_planes if made == TRAJECTORY else hessian_planes
    return given(task.config, objectives, task.seeds, rows, full, task.burn_in, task.dim, device), made, why


@functools.lru_cache(maxsize=1)
def training_samples(
    train: tuple[str, str], test: tuple[str, str] | None, hold_out: float
) -> tuple[BlockStore, AllRows, AllRows]:
    """What a worker keeps from task to task."""
    store = BlockStore.open(train[0])
    rows = AllRows.of(store)
    if test is not None:
        return store, rows, AllRows.of(BlockStore.open(test[0]))
    kept = held_out_samples(len(rows), hold_out)
    cut = len(rows) - kept  # the store's order is a random one already
    return store, AllRows(rows.x[:cut], rows.y[:cut]), AllRows(rows.x[cut:], rows.y[cut:])


def evaluated_labels(data: BlockStore, test: BlockStore | None, h: HyperplaneConfig) -> npt.NDArray[np.generic]:
    """Labels of the samples that the trainings are evaluated on; reads no samples."""
    if test is not None and h.evaluate_on == "test":
        return _labels(test)
    labels = _labels(data)
    cut = len(labels) - (held_out_samples(len(labels), h.hold_out) if test is None else 0)
    return labels[:cut] if h.evaluate_on == "train" else labels[cut:]


def _labels(store: BlockStore) -> npt.NDArray[np.generic]:
    return np.concatenate([store.block(index)[1] for index in range(store.blocks)])


def held_out_samples(samples: int, share: float) -> int:
    """How many of the samples are kept for testing, at least one."""
    return max(1, round(share * samples))


def require_training_samples(samples: int, key: str, share: float) -> None:
    """Raise InputError where all samples are held out; ``key`` names the share in the configuration."""
    if held_out_samples(samples, share) >= samples:
        remedy = "raise data.samples" if samples == 1 else f"lower {key}"
        raise InputError(f"{key}={share:g} of {counted(samples, 'sample')} leaves none to train on; {remedy}")


def _seeded(config: RunConfig, seed: int) -> RunConfig:
    """The configuration whose initial weights are those of ``seed``; given weights stay."""
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def _plain(task: PackTask, trained: list[Trained], made: str, began: float) -> dict[str, Any]:
    members = []
    for seed, one in zip(task.seeds, trained, strict=True):
        curve = [[p.step, _finite(p.batch_loss), _finite(p.loss), p.accuracy] for p in one.curve]
        numbers = {"loss": _finite(one.loss), "accuracy": one.accuracy, "distance": _finite(one.distance)}
        members.append({"seed": seed, "status": one.status, "steps": one.steps, **numbers, "curve": curve})
    where = {"kind": task.kind, "made": made, "burn_in": task.burn_in, "dim": task.dim}
    return {"key": task.key, **where, "seconds": time.monotonic() - began, "members": members}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
