"""One point measured, or some trainings that begin at one radius, as a task: a pure function of its configuration."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distlandscape.config import RunConfig
from distlandscape.curvature.flat_samples import flat_sums
from distlandscape.data import BlockStore
from distlandscape.objective import Objective
from distlandscape.results import Eigenpairs
from distlandscape.runtime import GaussNewton, Hessian, LocalRunner, Residual
from distlandscape.runtime.clustering import clustering, freezing
from distlandscape.runtime.local import default_device
from distlandscape.runtime.measures import loss_accuracy_gradient
from distlandscape.spectral import plane_curvature, top_eigenpairs, trace_and_frobenius
from distlandscape.spectral.journal import SILENT
from distlandscape.studies.goldilocks_point import given_point, radius_of, random_point
from distlandscape.studies.hyperplane_task import training_samples
from distlandscape.theory import RandomModel, plane_spectrum
from distlandscape.training.projections import make_projection
from distlandscape.training.subspace import Recipe, train_pack

Array = npt.NDArray[np.float64]
CURVATURE, TRAINING = "curvature", "training"
GRID = 81  # points of a predicted distribution
ZERO = 1e-12  # of the largest curvature: rounding, where d is more than the rank of a frozen network's H
TOL = 0.02  # of the outliers, which predictions take out of the bulk
# What says which points and trainings there are, and not what one of them is.
SWEEP = {"radii", "temperatures", "points", "dims", "modes", "trainings", "point"}


@dataclass(frozen=True)
class Task:
    """What is done at one place.

    Attributes:
        train: path and digest of the store that is measured and trained on.
        test: the same of the held-out samples; None keeps a share of the samples for that.
        what: CURVATURE or TRAINING.
        multiple: radius over Glorot's; None: at the given weights.
        weights: path and sha256 of the given weights, for ``multiple`` None.
        seeds: of the points; one for a measurement.
        mode: "sphere" or "free", of trainings.
        dim: of their planes.
    """

    config: RunConfig
    train: tuple[str, str]
    test: tuple[str, str] | None
    what: str
    temperature: float
    multiple: float | None
    weights: tuple[str, str] | None
    seeds: tuple[int, ...]
    mode: str = ""
    dim: int = 0

    @property
    def key(self) -> str:
        """Hash of all that decides the numbers."""
        tree = self.config.model_dump(mode="json", include={"data", "model", "objective", "train"})
        tree["goldilocks"] = self.config.goldilocks.model_dump(mode="json", exclude=SWEEP)
        digests = [self.train[1], self.test and self.test[1], self.weights and self.weights[1]]
        what = [tree, *digests, self.what, self.temperature, self.multiple, self.seeds, self.mode, self.dim]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def place(self) -> dict[str, Any]:
        """What tells it from other tasks, in a log."""
        where = {"temperature": self.temperature, "multiple": self.multiple}
        return {"what": self.what, **where, "mode": self.mode, "dim": self.dim}


def perform(task: Task) -> dict[str, Any]:
    """Measure or train; the outcome as plain values.

    Cost of a measurement: as many products as the largest plane has dimensions, twice ``norm_probes`` of the terms, and
    the Lanczos steps of the outliers.
    """
    began = time.monotonic()
    members = _measured(task) if task.what == CURVATURE else _trained(task)
    return {"key": task.key, **task.place, "members": members, "seconds": time.monotonic() - began}


def _measured(task: Task) -> list[dict[str, Any]]:
    data, other = _stores(task.train, task.test)
    (seed,) = task.seeds
    # float64: near a corner of the simplex 1 − p is lost in float32, and the whole curvature with it.
    if task.multiple is None:
        assert task.weights is not None, "a given point has weights"
        objective = given_point(task.config, task.weights[0], task.temperature, data, other)
    else:
        objective = random_point(task.config, seed, task.temperature, task.multiple, data, other, "float64")
    r = task.config.runtime
    return [{"seed": seed, **measure_point(objective, task.config, seed, LocalRunner(r.threads, r.micro_batch))}]


def measure_point(objective: Objective, config: RunConfig, seed: int, runner: LocalRunner) -> dict[str, Any]:
    """Curvature and softmax at the objective's θ, in planes of ``seed``; numbers that do not exist (H = 0) are None."""
    g, N = config.goldilocks, objective.samples
    state = freezing(objective, runner)
    gradient = loss_accuracy_gradient(objective, runner)[2]
    flat, flat64, rounded = (float(v) / N for v in runner.map_blocks(objective, flat_sums)[0])
    H = Hessian(objective, runner)
    pairs = _outliers(H, objective, config, seed)
    outliers = [] if pairs is None else [float(v) for v in pairs.eigenvalues]
    plane = plane_curvature(H, max(g.planes), seed, known=pairs)
    norms = {
        name: trace_and_frobenius(operator(objective, runner), g.norm_probes, seed)[1]
        for name, operator in (("gauss_newton", GaussNewton), ("residual", Residual))
    }
    trace, norm = plane.trace.value, plane.frobenius.value
    spectra = [plane_row(objective, plane.curvatures(d), trace, norm, outliers, d) for d in sorted(g.planes)]
    return {
        "radius": radius_of(objective),
        "loss": state.loss,
        "accuracy": state.accuracy,
        "gradient": float(gradient.double().norm()),
        "trace": plane.trace.value,
        "trace_stderr": plane.trace.stderr,
        "frobenius": plane.frobenius.value,
        "frobenius_stderr": plane.frobenius.stderr,
        "ratio": _finite(plane.ratio.value),
        "ratio_stderr": _finite(plane.ratio.stderr),
        "asymmetry": plane.asymmetry,
        "sum_p2": state.sum_p2,
        "sigma_z": state.sigma_z,
        **{name: estimate.value for name, estimate in norms.items()},
        **{f"{name}_stderr": estimate.stderr for name, estimate in norms.items()},
        "flat": flat,
        "flat_float64": flat64,
        "rounded": rounded,
        "outliers": outliers,
        "outlier_status": "not asked for" if pairs is None else pairs.status,
        "planes": spectra,
        "model": _random_model(objective, state.sigma_z, runner),
    }


def _outliers(H: Hessian, objective: Objective, config: RunConfig, seed: int) -> Eigenpairs | None:
    """Eigenpairs of both ends, descending; Ritz pairs where they did not converge, which is said.

    The residual term has as much below 0 as above, so outliers are on both sides where it is large.
    """
    k = config.goldilocks.outliers
    k = min(objective.outputs if k is None else k, max(1, objective.parameters // 8))
    if k == 0:
        return None
    steps = min(objective.parameters, 8 * k + 40)
    return top_eigenpairs(H, (k, k), TOL, "BE", max_steps=steps, seed=seed, journal=SILENT)


def plane_row(
    objective: Objective, curvatures: Array, trace: float, frobenius: float, outliers: list[float], d: int
) -> dict[str, Any]:
    """Measured curvature in a d-plane beside the spectra predicted without and with the outliers.

    ``predicted`` holds both cumulative distributions on a common grid; it is empty for H = 0.
    """
    positive = float(np.mean(curvatures > ZERO * np.abs(curvatures).max()))
    row: dict[str, Any] = {"plane": d, "positive": positive, "lowest": float(curvatures[0])}
    predicted: list[dict[str, float]] = []
    if frobenius > 0:
        P = objective.parameters
        frobenius = max(frobenius, abs(trace) / math.sqrt(P))  # estimates scatter
        width = float(curvatures[-1] - curvatures[0])
        grid = np.linspace(curvatures[0] - width / 4, curvatures[-1] + width / 4, GRID)
        columns = {"curvature": grid}
        for name, taken in (("without", []), ("with", outliers)):
            spectrum = plane_spectrum(trace, frobenius, P, d, taken)
            row |= {f"positive_{name}": spectrum.positive, f"lowest_{name}": spectrum.lowest}
            row[f"distance_{name}"] = spectrum.distance(curvatures)
            columns[name] = spectrum.cumulative(grid)
        predicted = [
            dict(zip(columns, map(float, values), strict=True)) for values in zip(*columns.values(), strict=True)
        ]
    return {**row, "curvatures": curvatures.tolist(), "predicted": predicted}


def _random_model(objective: Objective, sigma_z: float, runner: LocalRunner) -> dict[str, float | None]:
    """Clustering q_SL, and Tr/‖·‖_F of the random model with it and the measured σ_z."""
    q_sl = clustering(objective, runner).q_sl
    if not math.isfinite(q_sl):
        return {"q_sl": None, "model_ratio": None}
    share = min(max(q_sl, 0.0), 0.999)
    model = RandomModel(
        objective.outputs, objective.samples, objective.parameters, math.sqrt(share), math.sqrt(1 - share), sigma_z
    )
    return {"q_sl": q_sl, "model_ratio": model.predict().trace_over_frobenius}


def _trained(task: Task) -> list[dict[str, Any]]:
    c, g = task.config, task.config.goldilocks
    data, rows, held_out = training_samples(task.train, task.test, g.hold_out)
    test = BlockStore.open(task.test[0]) if task.test is not None else None
    multiple = task.multiple
    assert multiple is not None and c.train.steps is not None, "trainings begin at random points"
    objectives = [
        random_point(c, seed, task.temperature, multiple, data, test, c.objective.dtype) for seed in task.seeds
    ]
    recipe = Recipe(
        steps=c.train.steps,
        learning_rate=g.learning_rate * multiple,  # one step turns the weights by the same angle at every radius
        optimizer="adam",
        batch_size=c.train.batch_size,
        evaluate_every=max(1, c.train.steps),
        on_sphere=task.mode == "sphere",
    )
    planes = [
        make_projection("auto", objectives[0].parameters, task.dim, _plane_seed(seed, task.dim)) for seed in task.seeds
    ]
    trained = train_pack(objectives, planes, task.seeds, rows, held_out, recipe, device=default_device())
    return [
        {
            "seed": seed,
            "status": one.status,
            "accuracy": one.accuracy,
            "loss": _finite(one.loss),
            "accuracy_before": one.curve[0].accuracy,
            "distance": _finite(one.distance),
            "end_radius": _finite(float(one.theta.double().norm())),
        }
        for seed, one in zip(task.seeds, trained, strict=True)
    ]


def _plane_seed(seed: int, dim: int) -> int:
    """Planes of different dimensions and seeds have nothing in common."""
    return int.from_bytes(hashlib.sha256(f"goldilocks/{seed}/{dim}".encode()).digest()[:7])


@functools.lru_cache(maxsize=1)
def _stores(train: tuple[str, str], test: tuple[str, str] | None) -> tuple[BlockStore, BlockStore | None]:
    """What a worker keeps from task to task."""
    return BlockStore.open(train[0]), None if test is None else BlockStore.open(test[0])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
