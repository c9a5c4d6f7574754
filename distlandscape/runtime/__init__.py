"""Where products run: in this process or on a pool of Ray actors, summed in one fixed tree so that bits agree."""

from distlandscape.runtime.approximate import FiniteDifferenceHessian
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.measures import gradient, loss_accuracy_gradient
from distlandscape.runtime.operators import Fisher, GaussNewton, Hessian, Residual
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.pool import Pool

__all__ = [
    "FiniteDifferenceHessian",
    "Fisher",
    "GaussNewton",
    "Hessian",
    "LocalRunner",
    "Pool",
    "ProductPlan",
    "Residual",
    "gradient",
    "loss_accuracy_gradient",
]
