"""Points of weight space at a given distance from 0, and the distances that initialisation schemes give."""

from __future__ import annotations

import math

import torch

from distlandscape.config import RunConfig
from distlandscape.data import BlockStore
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime.along import placed
from distlandscape.studies.context import build_objective

SCHEMES = ("glorot", "he", "lecun")


def scheme_radii(objective: Objective) -> dict[str, float]:
    """Root mean square |θ| of Glorot's, He's and LeCun's initialisation of the weights; biases are 0 there.

    Variances 2/(fan in + fan out), 2/fan in and 1/fan in of every tensor with two or more dimensions.

    Raises:
        InputError: the parameters hold no such tensor.
    """
    squares = dict.fromkeys(SCHEMES, 0.0)
    for shape in objective.shapes:
        if len(shape) < 2:
            continue
        receptive = math.prod(shape[2:])
        fan_out, fan_in = shape[0] * receptive, shape[1] * receptive
        size = math.prod(shape)
        squares["glorot"] += size * 2 / (fan_in + fan_out)
        squares["he"] += size * 2 / fan_in
        squares["lecun"] += size / fan_in
    if not squares["glorot"]:
        raise InputError(
            "the parameters hold no weights of a layer (a tensor of two or more dimensions), so there is no radius to"
            " compare with; choose another model or other objective.parameters"
        )
    return {name: math.sqrt(square) for name, square in squares.items()}


def at_radius(objective: Objective, radius: float) -> Objective:
    """The objective at the point of the ray through its θ that is ``radius`` from 0; all else stays.

    Raises:
        InputError: θ = 0, which has no direction.
    """
    norm = float(objective.theta.double().norm())
    if norm == 0:
        raise InputError("all weights are 0, so they cannot be scaled to a radius; give another model or weights")
    return placed(objective, objective.theta.double() * (radius / norm))


def random_point(
    config: RunConfig,
    seed: int,
    temperature: float,
    multiple: float,
    data: BlockStore,
    other: BlockStore | None,
    dtype: str,
) -> Objective:
    """The model's own initialisation with ``seed``, scaled to a multiple of Glorot's radius, with logits over T."""
    seeded = config.model_copy(
        update={
            "train": config.train.model_copy(update={"seed": seed}),
            "objective": config.objective.model_copy(update={"dtype": dtype}),
            "model": config.model.model_copy(update={"weights": None}),
        }
    )
    objective = build_objective(seeded, data, other, temperature)
    return at_radius(objective, multiple * scheme_radii(objective)["glorot"])


def given_point(
    config: RunConfig, weights: str, temperature: float, data: BlockStore, other: BlockStore | None
) -> Objective:
    """The given weights where they are, in float64."""
    placed = config.model_copy(
        update={
            "model": config.model.model_copy(update={"weights": weights}),
            "objective": config.objective.model_copy(update={"dtype": "float64"}),
        }
    )
    return build_objective(placed, data, other, temperature)


def radius_of(objective: Objective) -> float:
    """|θ|."""
    return float(torch.linalg.vector_norm(objective.theta, dtype=torch.float64))
