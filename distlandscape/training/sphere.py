"""Points of a plane drawn back to a sphere around 0, and the gradient that goes with it.

Shapes: B members, P parameters.
"""

from __future__ import annotations

from torch import Tensor


def to_sphere(points_BP: Tensor, start_BP: Tensor) -> Tensor:
    """|θ₀| u/|u| for each row u, θ₀ its start."""
    return points_BP * _factor(points_BP, start_BP)


def from_sphere(gradients_BP: Tensor, points_BP: Tensor, start_BP: Tensor) -> Tensor:
    """Gradients with respect to u of a function of |θ₀| u/|u|, from those with respect to the point of the sphere.

    (|θ₀|/|u|) (g − (g·û) û): what points along the radius changes nothing.
    """
    square_B1 = points_BP.square().sum(1, keepdim=True)
    along_B1 = (gradients_BP * points_BP).sum(1, keepdim=True) / square_B1
    return (gradients_BP - along_B1 * points_BP) * _factor(points_BP, start_BP)


def _factor(points_BP: Tensor, start_BP: Tensor) -> Tensor:
    factor_B1: Tensor = start_BP.norm(dim=1, keepdim=True) / points_BP.norm(dim=1, keepdim=True)
    return factor_B1
