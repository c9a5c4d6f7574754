"""The function whose geometry is measured: a mean loss as a function of a flat parameter vector."""

from distlandscape.objective.objective import Batch, Objective

__all__ = ["Batch", "Objective"]
