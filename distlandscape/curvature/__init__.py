"""Products of one micro-batch, plain torch: one file an operator; every one returns sums over samples."""

from distlandscape.curvature.fisher import fisher_products
from distlandscape.curvature.gauss_newton import gauss_newton_products
from distlandscape.curvature.gradient import loss_and_gradient
from distlandscape.curvature.hessian import hessian_products
from distlandscape.curvature.residual import residual_products

__all__ = ["fisher_products", "gauss_newton_products", "hessian_products", "loss_and_gradient", "residual_products"]
