"""The hierarchy study: levels of class structure in G, and which class each outlier of the Hessian belongs to."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.config import RunConfig
from distlandscape.curvature.logit_gradients import require_logit_gradients
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.record.run import Stage
from distlandscape.results import Eigenpairs
from distlandscape.runtime import Hessian
from distlandscape.runtime.classes import class_counts
from distlandscape.runtime.clustering import Freezing, freezing
from distlandscape.runtime.hierarchy import (
    BetweenLogits,
    class_means,
    level_traces,
    mean_overlaps,
    weighted_eigenvalues,
)
from distlandscape.runtime.kernel import require_kernel_size
from distlandscape.spectral import top_eigenpairs
from distlandscape.studies.class_samples import require_class_samples
from distlandscape.studies.context import StudyContext
from distlandscape.studies.journal import RunJournal
from distlandscape.studies.kernel_part import KernelPart
from distlandscape.studies.packing import pack, unpack
from distlandscape.studies.provenance import described_model
from distlandscape.theory import find_gap

LEVELS = ("G0", "G1", "G2", "G3")
BEYOND = 2  # eigenvalues more than classes, so that a gap after C of them shows


def check(config: RunConfig, objective: Objective) -> None:
    """Raise InputError for what cannot be measured on this objective."""
    h = config.hierarchy
    require_class_samples(config, objective)
    k = pairs_wanted(config, objective)
    if k > objective.parameters:
        raise InputError(
            f"hierarchy asks for {k} eigenpairs, more than the {objective.parameters} parameters; lower hierarchy.k"
        )
    if h.max_steps is not None and h.max_steps < k:
        raise InputError(f"hierarchy.max_steps={h.max_steps} is below the {k} pairs asked for; raise it")
    Hessian(objective)
    require_logit_gradients(objective)
    if h.kernel:
        require_kernel_size(objective)


def pairs_wanted(config: RunConfig, objective: Objective) -> int:
    """Leading eigenpairs of the Hessian."""
    k = config.hierarchy.k
    return k if k is not None else min(objective.outputs + BEYOND, objective.parameters)


def planned_passes(config: RunConfig, checkpoints: int) -> float:
    """A rough count of passes, for the expected end only."""
    return checkpoints * (8 * (config.hierarchy.k or 12) + 160)


def measure(context: StudyContext, checkpoints: list[tuple[int, Path]]) -> dict[str, Any]:
    """Measure every checkpoint; returns the summary that becomes result.json."""
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("checkpoints", "levels", "overlaps", "traces")}
    kernel = KernelPart(context, checkpoints[0][1]) if context.config.hierarchy.kernel else None
    problems: list[str] = []
    passes = 0
    for index, (step, weights) in enumerate(checkpoints):
        context.progress.say(f"checkpoint {index + 1} of {len(checkpoints)}: step {step}")
        objective = context.at(weights)
        pairs, levels, between, frozen = _measure_checkpoint(context, objective, index)
        passes += pairs.passes + levels.values["passes"] + between.values["passes"] + 1
        for name, status in (("the Hessian", pairs.status), ("G2", between.values["status"])):
            if status != "converged":
                problems.append(f"{name} at step {step}: {status}")
        where = {"checkpoint": index, "step": step}
        row = _row(pairs, levels, frozen)
        if kernel is not None:
            row |= kernel.measure(objective, index, index == len(checkpoints) - 1)
        tables["checkpoints"].append({**where, **row})
        tables["levels"] += [{**where, **r} for r in _level_rows(pairs, levels, between)]
        tables["overlaps"] += [{**where, **r} for r in _overlap_rows(pairs, levels)]
        tables["traces"] += [{**where, **r} for r in _trace_rows(levels)]
        for name, rows in tables.items():
            context.run.write_table(name, pa.Table.from_pylist(rows))
        context.mirror()
    context.run.write_table("eigenvalues", pairs.to_table())
    if kernel is not None:
        context.run.write_table("dual_spectrum", kernel.spectrum())
    last = tables["checkpoints"][-1]
    return {
        "weights": str(weights),
        "weights_sha256": objective.weights_sha256,
        "operator": "hessian",
        "eigenvalues": pairs.eigenvalues.tolist(),
        "residuals": pairs.residuals.tolist(),
        "lowest": [],
        "lowest_residuals": [],
        "converged": pairs.converged.tolist(),
        "belongs_to": levels.arrays["own_cosines"].argmax(1).tolist(),
        "own_cosine": levels.arrays["own_cosines"].max(1).tolist(),
        "own_span": levels.arrays["own_span"].tolist(),
        "across_span": levels.arrays["across_span"].tolist(),
        "class_counts": class_counts(objective).tolist(),
        "g0": levels.arrays["g0"].tolist(),
        "g1": levels.arrays["g1"].tolist(),
        "g2": between.arrays["eigenvalues"].tolist(),
        "traces": {name: levels.values[name] for name in ("levels", "stderr", "total", "total_stderr", "probes")},
        **{name: value for name, value in last.items() if name not in ("checkpoint", "step")},
        "status": "; ".join(problems) or "converged",
        "passes": passes,
        "parameters": objective.parameters,
        "samples": objective.samples,
        "classes": objective.outputs,
        "trust": pairs.trust.as_dict(),
        "data": objective.data.description,
        "model": described_model(context.config),
        "metrics": {f"g0/{i + 1}": value for i, value in enumerate(levels.arrays["g0"][:3])},
    }


def _measure_checkpoint(
    context: StudyContext, objective: Objective, index: int
) -> tuple[Eigenpairs, Stage, Stage, Freezing]:
    h = context.config.hierarchy
    k = pairs_wanted(context.config, objective)
    frozen = context.stage(f"freezing-{index:03d}", lambda _: pack(freezing(objective, context.runner)))
    operator = Hessian(objective, context.runner)

    def eigenpairs(journal: RunJournal) -> Stage:
        return pack(top_eigenpairs(operator, k, h.tol, max_steps=h.max_steps, seed=h.seed, journal=journal))

    aim = {"top": k, "low": 0, "tol": h.tol, "dim": objective.parameters}
    pairs = unpack(Eigenpairs, context.stage(f"eigenpairs-{index:03d}", eigenpairs, **aim))
    context.progress.tick(pairs.passes)
    levels = context.stage(f"levels-{index:03d}", lambda _: _levels(context, objective, pairs))
    context.progress.tick(levels.values["passes"])
    aim["top"] = _between_rank(objective, k)
    between = context.stage(f"between-{index:03d}", lambda journal: _between(context, objective, k, journal), **aim)
    context.progress.tick(between.values["passes"])
    return pairs, levels, between, unpack(Freezing, frozen)


def _levels(context: StudyContext, objective: Objective, pairs: Eigenpairs) -> Stage:
    """Spectra of G0 and G1, traces, and overlaps of the Hessian's eigenvectors with the means, which are not kept."""
    h = context.config.hierarchy
    means = class_means(objective, context.runner)
    traces = level_traces(objective, means, context.runner, probes=h.trace_probes, seed=h.seed)
    vectors = pairs.eigenvectors.numpy()
    own_cosines, own_span = mean_overlaps(vectors, means.own)
    across_cosines, across_span = mean_overlaps(vectors, means.across)
    arrays = {
        "g0": weighted_eigenvalues(means.own, means.own_weights),
        "g1": weighted_eigenvalues(means.across, means.across_weights),
        "own_cosines": own_cosines,
        "own_span": own_span,
        "across_cosines": across_cosines,
        "across_span": across_span,
    }
    values = asdict(traces)
    return Stage(arrays, {**values, "passes": traces.passes + means.passes})


def _between_rank(objective: Objective, k: int) -> int:
    """How many of k eigenvalues of G2 are not zero by its rank."""
    return min(k, objective.outputs * (objective.outputs - 2), objective.parameters)


def _between(context: StudyContext, objective: Objective, k: int, journal: RunJournal) -> Stage:
    """Leading eigenvalues of G2, which has rank C (C − 2) at most."""
    h, count = context.config.hierarchy, _between_rank(objective, k)
    if not count:
        return Stage({"eigenvalues": np.empty(0), "residuals": np.empty(0)}, {"status": "converged", "passes": 0})
    operator = BetweenLogits(objective, context.runner)
    found = top_eigenpairs(operator, count, h.tol, max_steps=h.max_steps, seed=h.seed, journal=journal)
    arrays = {"eigenvalues": found.eigenvalues, "residuals": found.residuals}
    return Stage(arrays, {"status": found.status, "passes": 2 * found.passes})


def _row(pairs: Eigenpairs, levels: Stage, frozen: Freezing) -> dict[str, Any]:
    v, a = levels.values, levels.arrays
    gap = find_gap(pairs.eigenvalues, pairs.residuals) if len(pairs.eigenvalues) > 1 else None
    total = v["total"]
    return {
        "loss": frozen.loss,
        "accuracy": frozen.accuracy,
        "lambda_max": float(pairs.eigenvalues[0]),
        "outliers": gap.outliers if gap is not None else 0,
        "gap_ratio": gap.ratio if gap is not None and np.isfinite(gap.ratio) else None,
        "g0_max": float(a["g0"][0]),
        "g1_max": float(a["g1"][0]),
        "trace_g": total,
        **{
            f"share_{name.lower()}": value / total if total else None
            for name, value in zip(LEVELS, v["levels"], strict=True)
        },
    }


def _level_rows(pairs: Eigenpairs, levels: Stage, between: Stage) -> list[dict[str, Any]]:
    """Leading eigenvalues of the Hessian and of each level; None for the residual of what is exact."""
    exact = [None] * len(levels.arrays["g0"])
    spectra = (
        ("H", pairs.eigenvalues, pairs.residuals),
        ("G0", levels.arrays["g0"], exact),
        ("G1", levels.arrays["g1"], exact),
        ("G2", between.arrays["eigenvalues"], between.arrays["residuals"]),
    )
    return [
        {"level": name, "rank": rank + 1, "eigenvalue": float(value), "residual": None if r is None else float(r)}
        for name, values, residuals in spectra
        for rank, (value, r) in enumerate(zip(values, residuals, strict=True))
    ]


def _overlap_rows(pairs: Eigenpairs, levels: Stage) -> list[dict[str, Any]]:
    a = levels.arrays
    return [
        {
            "rank": rank + 1,
            "eigenvalue": float(pairs.eigenvalues[rank]),
            "class": c,
            "own": float(a["own_cosines"][rank, c]),
            "across": float(a["across_cosines"][rank, c]),
            "own_span": float(a["own_span"][rank]),
            "across_span": float(a["across_span"][rank]),
        }
        for rank, c in np.ndindex(a["own_cosines"].shape)
    ]


def _trace_rows(levels: Stage) -> list[dict[str, Any]]:
    v = levels.values
    return [
        {"level": name, "trace": t, "stderr": e, "share": t / v["total"] if v["total"] else None}
        for name, t, e in zip(LEVELS, v["levels"], v["stderr"], strict=True)
    ]
