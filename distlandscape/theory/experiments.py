"""Draws of the random model as independent tasks, each a few numbers: what a sweep shares out among workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from distlandscape.theory.random_model import RandomModel


@dataclass(frozen=True)
class Task:
    """One draw: ``kind`` is a key of KINDS; ``plane`` the dimension of a random plane."""

    kind: str
    model: RandomModel
    plane: int = 0


def perform(task: Task) -> dict[str, Any]:
    """Do a task; equal tasks give equal numbers."""
    return KINDS[task.kind](task)


def _draw(task: Task) -> dict[str, Any]:
    draw, k = task.model.sample(), task.model.classes - 1
    return {
        "top": float(draw.eigenvalues[:k].mean()),
        "bulk": float(draw.eigenvalues[k]) if len(draw.eigenvalues) > k else 0.0,
        "overlap": draw.overlap,
        "confinement": draw.confinement,
        "trace": draw.trace,
        "frobenius": draw.frobenius,
        "eigenvalues": draw.eigenvalues,
    }


def _plane(task: Task) -> dict[str, Any]:
    """Curvature in a random plane: the eigenvalues of VᵀGV."""
    model = task.model
    generator = np.random.default_rng([model.seed, task.plane])
    V_Dd = np.linalg.qr(generator.standard_normal((model.dim, task.plane)))[0]
    projected = model.factor() @ V_Dd
    return {"curvatures": np.linalg.eigvalsh(projected.T @ projected)}


KINDS: dict[str, Callable[[Task], dict[str, Any]]] = {"draw": _draw, "plane": _plane}
