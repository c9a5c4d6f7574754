"""Planes through a point of weight space: θ = θ₀ + A w, with A known by its products."""

from distlandscape.training.projections.base import Projection, gram_deviation
from distlandscape.training.projections.choose import KINDS, choose_kind, make_projection
from distlandscape.training.projections.dense import Given, trajectory_directions

__all__ = [
    "KINDS",
    "Given",
    "Projection",
    "choose_kind",
    "gram_deviation",
    "make_projection",
    "trajectory_directions",
]
