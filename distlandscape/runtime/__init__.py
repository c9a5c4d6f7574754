"""Where products run: in this process or on a pool of Ray actors, summed in one fixed tree so that bits agree."""

from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.measures import gradient, loss_accuracy_gradient
from distlandscape.runtime.operators import GaussNewton, Hessian
from distlandscape.runtime.pool import Pool

__all__ = ["GaussNewton", "Hessian", "LocalRunner", "Pool", "gradient", "loss_accuracy_gradient"]
