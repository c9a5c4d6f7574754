"""Layer by layer: top eigenvalue, trace and density of the diagonal blocks of the operator that is measured."""

from __future__ import annotations

import glob
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.objective import Objective
from distlandscape.objective.layers import chosen_layers
from distlandscape.record.run import Stage
from distlandscape.results import Estimate
from distlandscape.runtime.operators import CurvatureOperator
from distlandscape.spectral import spectral_density, top_eigenpairs, trace
from distlandscape.studies.context import StudyContext
from distlandscape.studies.journal import RunJournal

MakeOperator = Callable[[Objective], CurvatureOperator]


def measure_layers(
    context: StudyContext, objective: Objective, make_operator: MakeOperator, whole: Estimate
) -> tuple[list[dict[str, Any]], int]:
    """Measure each chosen layer, a stage a layer; writes the tables and returns a row a layer, and the passes.

    A pass over a layer's block costs less than one over all parameters: backward passes end at the layer.
    """
    patterns = context.config.spectrum.layers
    rows: list[dict[str, Any]] = []
    densities: list[dict[str, Any]] = []
    passes = 0
    chosen = chosen_layers(objective.names, patterns) if patterns is not None else {}
    for number, (layer, names) in enumerate(chosen.items()):
        block = objective.with_parameters([glob.escape(name) for name in names])
        operator = make_operator(block)
        # By number: the name of a module may hold what a file's name may not.
        aim = {"top": 1, "low": 0, "tol": context.config.spectrum.tol, "dim": block.parameters}
        stage = context.stage(f"layer-{number:03d}", partial(_measure, context, operator), **aim)
        rows.append(_row(layer, block.parameters, stage.values, whole))
        if "nodes" in stage.arrays:
            columns = zip(*(stage.arrays[name].tolist() for name in ("draw", "nodes", "weights")), strict=True)
            densities += [{"layer": layer, "draw": d, "node": node, "weight": w} for d, node, w in columns]
            context.run.write_table("layer_densities", pa.Table.from_pylist(densities))
        context.run.write_table("layers", pa.Table.from_pylist(rows))
        context.progress.tick(stage.values["passes"])
        passes += stage.values["passes"]
    return rows, passes


def _measure(context: StudyContext, operator: CurvatureOperator, journal: RunJournal) -> Stage:
    s = context.config.spectrum
    top = top_eigenpairs(
        operator, 1, s.tol, max_steps=s.max_steps, basis_size=s.basis_size, seed=s.seed, journal=journal
    )
    total = trace(operator, s.trace_probes, s.seed, known=top)
    values = {
        "eigenvalue": float(top.eigenvalues[0]),
        "residual": float(top.residuals[0]),
        "converged": bool(top.converged[0]),
        "trace": total.value,
        "trace_stderr": total.stderr,
        "passes": top.passes + total.passes,
    }
    if s.layer_density_steps is None:
        return Stage({}, values)
    density = spectral_density(operator, 1, s.layer_density_steps, s.seed, known=top, journal=journal)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "draw": density.draw,
        "nodes": density.nodes,
        "weights": density.weights,
    }
    return Stage(arrays, {**values, "passes": values["passes"] + density.passes})


def _row(layer: str, parameters: int, values: dict[str, Any], whole: Estimate) -> dict[str, Any]:
    share, share_stderr = math.nan, math.nan
    if whole.value:
        share = values["trace"] / whole.value
        share_stderr = math.hypot(values["trace_stderr"], share * whole.stderr) / abs(whole.value)
    measured = {name: value for name, value in values.items() if name != "passes"}
    return {"layer": layer, "parameters": parameters, **measured, "share": share, "share_stderr": share_stderr}


def layers_status(rows: list[dict[str, Any]]) -> str:
    """What became of all layers: "converged", or how many layers' largest eigenvalues have not, and the remedy."""
    good = sum(row["converged"] for row in rows)
    if good == len(rows):
        return "converged"
    return f"the largest eigenvalue of {len(rows) - good} of {len(rows)} layers has not converged: raise max_steps"
