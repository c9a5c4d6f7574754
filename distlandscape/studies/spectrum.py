"""The spectrum study: eigenpairs, density, trace, norm and layers of the last checkpoint, confinement of each."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from distlandscape.config import RunConfig
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.objective.layers import chosen_layers
from distlandscape.record.run import Stage
from distlandscape.results import Eigenpairs, Estimate, SpectralDensity
from distlandscape.runtime import Fisher, GaussNewton, Hessian, Residual, loss_accuracy_gradient
from distlandscape.runtime.operators import CurvatureOperator
from distlandscape.runtime.runner import Runner
from distlandscape.spectral import MARGIN, spectral_density, top_eigenpairs, trace_and_frobenius
from distlandscape.spectral import index as negative_index
from distlandscape.studies.confinement import confinement_rows, confinement_sizes, gauss_newton_share
from distlandscape.studies.context import StudyContext
from distlandscape.studies.journal import RunJournal
from distlandscape.studies.layers import layers_status, measure_layers
from distlandscape.studies.packing import pack, unpack
from distlandscape.studies.provenance import described_model

BLOCK_EXPONENT = -0.4  # of b, in the passes that eigenpairs take: 0.73 seen for b = 2, 0.56 to 0.63 for 4
OPERATORS = {"hessian": Hessian, "gauss_newton": GaussNewton, "residual": Residual}


def make_operator(config: RunConfig, objective: Objective, runner: Runner | None = None) -> CurvatureOperator:
    """The operator whose spectrum is asked for; InputError where the objective has none."""
    s = config.spectrum
    if s.operator == "fisher":
        return Fisher(objective, runner, s.fisher_labels, seed=s.seed)
    return OPERATORS[s.operator](objective, runner)


def check(config: RunConfig, objective: Objective) -> None:
    """Raise InputError for what cannot be measured on this objective."""
    s = config.spectrum
    if s.k + s.lowest > objective.parameters:
        raise InputError(
            f"spectrum.k={s.k} and spectrum.lowest={s.lowest} ask for more eigenpairs than the"
            f" {objective.parameters} parameters; lower them"
        )
    make_operator(config, objective)
    if s.layers is not None:
        chosen_layers(objective.names, s.layers)
    if s.density_target is not None and s.density_max_draws < s.density_draws:
        raise InputError(
            f"spectrum.density_max_draws={s.density_max_draws} is below spectrum.density_draws={s.density_draws};"
            " raise it"
        )
    if s.block > objective.parameters:
        raise InputError(f"spectrum.block={s.block} is more than the {objective.parameters} parameters; lower it")
    if s.block > 1 and s.basis_size is not None:
        raise InputError(
            f"spectrum.basis_size={s.basis_size} does not go with spectrum.block={s.block}, which cannot restart;"
            " leave one of them out"
        )
    if s.block > 1 and s.warm_start:
        raise InputError(
            f"spectrum.warm_start gives one vector to begin from, and spectrum.block={s.block} needs as many;"
            " leave one of them out"
        )
    if s.max_steps is not None and s.max_steps * s.block < s.k + s.lowest:
        raise InputError(f"spectrum.max_steps={s.max_steps} is below the {s.k + s.lowest} pairs asked for; raise it")
    needed = max(s.k + s.lowest, max(confinement_sizes(objective).values(), default=0)) + MARGIN
    if s.basis_size is not None and s.basis_size < needed:
        raise InputError(f"spectrum.basis_size={s.basis_size} leaves no room to restart; take {needed} or more")


def planned_passes(config: RunConfig, checkpoints: int) -> float:
    """A rough count of passes, for the expected end only."""
    s = config.spectrum
    layers = 0 if s.layers is None else 10 * (60 + (s.layer_density_steps or 0))
    return checkpoints * _passes_of_pairs(config) + s.density_steps + 1 + layers


def _passes_of_pairs(config: RunConfig) -> float:
    """Of one checkpoint: 28 to 73 were seen with k = 10, the check included."""
    s = config.spectrum
    return (30 + 4 * (s.k + s.lowest)) * math.pow(s.block, BLOCK_EXPONENT)


def measure(context: StudyContext, checkpoints: list[tuple[int, Path]]) -> dict[str, Any]:
    """Measure every checkpoint; returns the summary that becomes result.json."""
    curve: list[dict[str, Any]] = []
    confinement: list[dict[str, Any]] = []
    passes = 0
    pairs = None
    for index, (step, weights) in enumerate(checkpoints):
        last = index == len(checkpoints) - 1
        context.progress.say(f"checkpoint {index + 1} of {len(checkpoints)}: step {step}")
        objective = context.at(weights)
        row, pairs = _measure_checkpoint(context, objective, index, step, last, confinement, pairs)
        curve.append(row)
        passes += pairs.passes + 1
        context.run.write_table("checkpoints", pa.Table.from_pylist(curve))
        if confinement:
            passes += 1
            context.run.write_table("confinement", pa.Table.from_pylist(confinement))
        context.mirror()
    assert pairs is not None, "there is a checkpoint"
    context.run.write_table("eigenvalues", pairs.to_table())
    density, estimates = _whole_spectrum(context, objective, pairs)
    make = partial(make_operator, context.config, runner=context.runner)
    layers, more = measure_layers(context, objective, make, estimates[0])
    statuses = [pairs.status, density.status or "converged", layers_status(layers)]
    status = "; ".join(s for s in statuses if s != "converged") or "converged"
    passes += density.passes + estimates[0].passes + more
    summary = _summary(context, objective, weights, pairs, estimates, passes, curve)
    return {**summary, "status": status, "density": _density_summary(density), "layers": layers}


def _measure_checkpoint(
    context: StudyContext,
    objective: Objective,
    index: int,
    step: int,
    last: bool,
    confinement: list[dict[str, Any]],
    before: Eigenpairs | None,
) -> tuple[dict[str, Any], Eigenpairs]:
    s = context.config.spectrum
    operator = make_operator(context.config, objective, context.runner)
    first = context.stage(f"gradient-{index:03d}", lambda _: _gradient_stage(context, objective))
    gradient = torch.from_numpy(first.arrays["gradient"])

    sizes = confinement_sizes(objective)
    top = s.k if last else max(sizes.values(), default=s.k)
    low = s.lowest if last else 0

    def eigenpairs(journal: RunJournal) -> Stage:
        k, which = ((top, low), "BE") if low else (top, "LA")
        pairs = top_eigenpairs(
            operator,
            k,
            s.tol,
            which,
            max_steps=s.max_steps,
            basis_size=s.basis_size,
            block=s.block,
            seed=s.seed,
            start=before if s.warm_start else None,
            journal=journal,
        )
        return pack(pairs)

    aim = {"top": top, "low": low, "tol": s.tol, "dim": objective.parameters}
    pairs = unpack(Eigenpairs, context.stage(f"eigenpairs-{index:03d}", eigenpairs, **aim))
    context.progress.tick(pairs.passes, _passes_of_pairs(context.config))
    good = pairs.eigenvectors[: int(np.argmin(np.append(pairs.converged[: pairs.top], False)))]
    sizes = {label: k for label, k in sizes.items() if k <= len(good)}
    if sizes:
        share = context.stage(
            f"share-{index:03d}",
            lambda _: gauss_newton_share(
                GaussNewton(objective, context.runner), good[: max(sizes.values())], s.trace_probes, s.seed
            ),
        )
        confinement += confinement_rows(index, step, sizes, gradient, good, share)
    row = {
        "checkpoint": index,
        "step": step,
        "loss": first.values["loss"],
        "accuracy": first.values["accuracy"],
        "gradient_norm": float(gradient.double().norm()),
        "lambda_max": float(pairs.eigenvalues[0]),
    }
    return row, pairs


def _gradient_stage(context: StudyContext, objective: Objective) -> Stage:
    loss, accuracy, gradient = loss_accuracy_gradient(objective, context.runner)
    return Stage({"gradient": gradient.numpy()}, {"loss": loss, "accuracy": None if accuracy != accuracy else accuracy})


def _whole_spectrum(
    context: StudyContext, objective: Objective, pairs: Eigenpairs
) -> tuple[SpectralDensity, tuple[Estimate, Estimate]]:
    s = context.config.spectrum
    operator = make_operator(context.config, objective, context.runner)
    density = unpack(
        SpectralDensity,
        context.stage(
            "density",
            lambda journal: pack(
                spectral_density(
                    operator,
                    s.density_draws,
                    s.density_steps,
                    s.seed,
                    target=s.density_target,
                    max_draws=s.density_max_draws,
                    known=pairs,
                    journal=journal,
                )
            ),
            dim=objective.parameters,
        ),
    )
    context.progress.tick(density.passes)
    context.run.write_table("density", density.to_table())

    def estimates_stage(_: RunJournal) -> Stage:
        both = trace_and_frobenius(operator, s.trace_probes, s.seed, known=pairs)
        return Stage({}, {name: pack(e).values for name, e in zip(("trace", "frobenius"), both, strict=True)})

    values = context.stage("estimates", estimates_stage).values
    both = Estimate(**values["trace"]), Estimate(**values["frobenius"])
    rows = [
        {"quantity": name, "value": e.value, "stderr": e.stderr, "probes": e.probes}
        for name, e in zip(("trace", "frobenius"), both, strict=True)
    ]
    context.run.write_table("estimates", pa.Table.from_pylist(rows))
    return density, both


def _density_summary(density: SpectralDensity) -> dict[str, Any]:
    """Its error, and how many eigenvalues are negative."""
    error, below = density.error(), negative_index(density)
    return {
        "draws": density.draws,
        "error": None if math.isnan(error) else error,
        "negative": {"value": below.value, "low": below.low, "high": below.high},
    }


def _summary(
    context: StudyContext,
    objective: Objective,
    weights: Path,
    pairs: Eigenpairs,
    estimates: tuple[Estimate, Estimate],
    passes: int,
    curve: list[dict[str, Any]],
) -> dict[str, Any]:
    k = pairs.top
    trace, frobenius = estimates
    return {
        "weights": str(weights),
        "weights_sha256": objective.weights_sha256,
        "operator": context.config.spectrum.operator,
        "eigenvalues": pairs.eigenvalues[:k].tolist(),
        "residuals": pairs.residuals[:k].tolist(),
        "lowest": pairs.eigenvalues[k:].tolist(),
        "lowest_residuals": pairs.residuals[k:].tolist(),
        **pairs.marks(),
        "passes": passes,
        "parameters": objective.parameters,
        "samples": objective.samples,
        "classes": objective.outputs if objective.classification else None,
        "loss": curve[-1]["loss"],
        "accuracy": curve[-1]["accuracy"],
        "trace": {"value": trace.value, "stderr": trace.stderr},
        "frobenius": {"value": frobenius.value, "stderr": frobenius.stderr},
        "trust": pairs.trust.as_dict(),
        "data": objective.data.description,
        "model": described_model(context.config),
    }
