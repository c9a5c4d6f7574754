"""Training on a sphere: the gradient against autograd, the radius along a training, the plain loop."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from distlandscape.training.sphere import from_sphere, to_sphere
from tests.training.test_subspace import RECIPE, members, plain, planes_of, run


def test_gradient_is_that_of_autograd():
    torch.manual_seed(0)
    start, weights = torch.randn(3, 7, dtype=torch.float64), torch.randn(3, 7, dtype=torch.float64)
    points = torch.randn(3, 7, dtype=torch.float64).requires_grad_(True)
    on_sphere = to_sphere(points, start)
    (expected,) = torch.autograd.grad((weights * on_sphere.sin()).sum(), points)
    got = from_sphere(weights * on_sphere.detach().cos(), points.detach(), start)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(on_sphere.detach().norm(dim=1), start.norm(dim=1))
    assert (got * points.detach()).sum(1).abs().max() < 1e-14


@pytest.mark.parametrize("dim", [None, 12])
def test_training_moves_along_the_sphere(dim):
    objectives = members(count=2)
    planes = None if dim is None else planes_of(objectives, dim=dim)
    recipe = dataclasses.replace(RECIPE, on_sphere=True)
    trained = run(objectives, planes, recipe)
    for one, objective in zip(trained, objectives, strict=True):
        assert float(one.theta.norm()) == pytest.approx(float(objective.theta.norm()), rel=1e-12)
        assert one.distance > 0.01


def test_updates_are_those_of_a_plain_loop():
    """Autograd through the whole map from w to the loss."""
    (objective,) = members(count=1)
    (plane,) = planes_of([objective])
    recipe = dataclasses.replace(RECIPE, on_sphere=True)
    radius = objective.theta.norm()
    losses, expected = plain(objective, plane, recipe, 0, to_point=lambda u: radius * u / u.norm())
    (got,) = run([objective], [plane], recipe, [0])
    torch.testing.assert_close(got.theta, expected)
    assert got.curve[-1].batch_loss == pytest.approx(losses[-1])
