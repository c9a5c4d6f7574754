"""Algorithms on an abstract symmetric operator; they know no model, no data, no Ray, no torch.distributed."""

from distlandscape.spectral.density import spectral_density
from distlandscape.spectral.eigenpairs import MARGIN, top_eigenpairs
from distlandscape.spectral.index import index
from distlandscape.spectral.plane import PlaneCurvature, plane_curvature
from distlandscape.spectral.subspace import confinement, overlap
from distlandscape.spectral.trace import frobenius_norm, trace, trace_and_frobenius

__all__ = [
    "MARGIN",
    "PlaneCurvature",
    "confinement",
    "frobenius_norm",
    "index",
    "overlap",
    "plane_curvature",
    "spectral_density",
    "top_eigenpairs",
    "trace",
    "trace_and_frobenius",
]
