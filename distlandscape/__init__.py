"""Local geometry of neural-network loss surfaces, measured at scale.

The names below are the public surface; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distlandscape import data, models, theory
    from distlandscape.errors import InputError
    from distlandscape.from_python import run_study
    from distlandscape.objective import Objective
    from distlandscape.record import open_run
    from distlandscape.runtime import Fisher, GaussNewton, Hessian, Pool, Residual, gradient
    from distlandscape.spectral import frobenius_norm, index, overlap, spectral_density, top_eigenpairs, trace

_HOMES = {
    "Fisher": "runtime",
    "GaussNewton": "runtime",
    "Hessian": "runtime",
    "InputError": "errors",
    "Objective": "objective",
    "Pool": "runtime",
    "Residual": "runtime",
    "data": "",
    "frobenius_norm": "spectral",
    "gradient": "runtime",
    "index": "spectral",
    "models": "",
    "theory": "",
    "open_run": "record",
    "overlap": "spectral",
    "run_study": "from_python",
    "spectral_density": "spectral",
    "top_eigenpairs": "spectral",
    "trace": "spectral",
}

__all__ = [
    "Fisher",
    "GaussNewton",
    "Hessian",
    "InputError",
    "Objective",
    "Pool",
    "Residual",
    "data",
    "frobenius_norm",
    "gradient",
    "index",
    "models",
    "open_run",
    "overlap",
    "run_study",
    "spectral_density",
    "theory",
    "top_eigenpairs",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'distlandscape' has no attribute {name!r}")
    home = _HOMES[name]
    if not home:
        return importlib.import_module(f"distlandscape.{name}")
    return getattr(importlib.import_module(f"distlandscape.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
