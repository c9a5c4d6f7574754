"""What a pool or a runner is asked for: refused in a sentence, before anything starts."""

from __future__ import annotations

import math
from typing import TypeGuard

import numpy as np

from distlandscape.errors import InputError
from distlandscape.runtime.plan import ProductPlan

TRANSPORTS = ("store", "collective")


def check_pool(workers: object, cpus_per_worker: object, gpus_per_worker: object, transport: object) -> None:
    """Raise InputError for workers that no cluster could hold."""
    if transport not in TRANSPORTS:
        raise InputError(f"transport {transport!r} is unknown; known: {', '.join(map(repr, TRANSPORTS))}")
    if not _is_whole(workers):
        raise InputError(f"workers={workers!r} must be a whole number of at least 1; correct it")
    if workers < 1:
        raise InputError(f"workers={workers}: a pool needs at least 1; leave the pool out to run in this process")
    cpus, gpus = _finite(cpus_per_worker), _finite(gpus_per_worker)
    if cpus is None or gpus is None or cpus <= 0 or gpus < 0:
        raise InputError(
            f"cpus_per_worker={cpus_per_worker!r} must be a positive number and gpus_per_worker={gpus_per_worker!r} one"
            " that is not negative; correct them"
        )
    if gpus > 1:
        raise InputError(
            f"gpus_per_worker={gpus_per_worker} is too many, as a worker computes on one GPU; start more workers, with"
            " one each"
        )
    if transport == "collective" and gpus % 1:
        raise InputError(
            f"gpus_per_worker={gpus_per_worker} shares a GPU, but workers of transport 'collective' need whole ones"
            " (NCCL takes one rank a device); use transport 'store' or whole GPUs"
        )


def check_sizes(**sizes: object) -> None:
    """Raise InputError for a given size that is no whole number, or below 1."""
    for name, size in sizes.items():
        if size is None:
            continue
        if not _is_whole(size):
            raise InputError(f"{name}={size!r} must be a whole number of at least 1; correct it or leave it out")
        if size < 1:
            raise InputError(f"{name}={size} must be at least 1; raise it or leave it out")


def check_plan(plan: object) -> None:
    """Raise InputError for a plan that is none."""
    if plan is not None and not isinstance(plan, ProductPlan):
        raise InputError(
            f"plan={plan!r} is no ProductPlan; make one with distlandscape.runtime.ProductPlan(method), or leave it out"
        )


def _is_whole(number: object) -> TypeGuard[int]:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def _finite(number: object) -> float | None:
    """A finite number; None for anything else."""
    if not isinstance(number, (int, float, np.integer, np.floating)):
        return None
    return float(number) if math.isfinite(number) else None
