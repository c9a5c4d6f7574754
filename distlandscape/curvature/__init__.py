"""Products of one micro-batch, plain torch: one file an operator; every one returns sums over samples."""

from distlandscape.curvature.gauss_newton import gauss_newton_products
from distlandscape.curvature.gradient import loss_and_gradient
from distlandscape.curvature.hessian import hessian_products

__all__ = ["gauss_newton_products", "hessian_products", "loss_and_gradient"]
