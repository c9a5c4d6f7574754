"""The clustering study: how logit gradients cluster, and how far the softmax is frozen, at every checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.config import RunConfig
from distlandscape.curvature.logit_gradients import require_logit_gradients
from distlandscape.objective import Objective
from distlandscape.record.run import Stage
from distlandscape.runtime.clustering import Clustering, Freezing, clustering, first_logits, freezing
from distlandscape.studies.class_samples import require_class_samples
from distlandscape.studies.context import StudyContext
from distlandscape.studies.packing import pack, unpack
from distlandscape.studies.provenance import described_model
from distlandscape.theory import freezing_scale, softmax_moments
from distlandscape.theory.softmax import softmax

COSINES = ("q_slsc", "q_sldc", "q_sl", "q_dl", "q_dl_same_sample")
CORNERS = 3  # classes of which the simplex can be drawn
DRAWN = 2000  # samples of that picture
MUCH = 5.0  # times |q_DL| that q_SL has to be for the paper's "≫"


def check(config: RunConfig, objective: Objective) -> None:
    """Raise InputError where there are no classes, or single samples have no gradient that can be taken."""
    require_class_samples(config, objective)
    require_logit_gradients(objective)


def planned_passes(config: RunConfig, checkpoints: int) -> float:
    """A forward pass and one of C backward passes a checkpoint; more of them where C·P is very large."""
    return 2 * checkpoints


def measure(context: StudyContext, checkpoints: list[tuple[int, Path]]) -> dict[str, Any]:
    """Measure every checkpoint; returns the summary that becomes result.json."""
    curve: list[dict[str, Any]] = []
    cells: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    corners: list[dict[str, Any]] = []
    passes = 0
    for index, (step, weights) in enumerate(checkpoints):
        context.progress.say(f"checkpoint {index + 1} of {len(checkpoints)}: step {step}")
        objective = context.at(weights)
        found, frozen = _measure_checkpoint(context, objective, index)
        passes += found.passes + 1
        where = {"checkpoint": index, "step": step}
        curve.append({**where, **_row(found, frozen, objective.outputs)})
        cells += [{**where, **cell} for cell in _cells(found)]
        pairs += [{**where, **pair} for pair in _pairs(found)]
        if objective.outputs == CORNERS:
            corners += [{**where, **point} for point in _corners(context, objective, index)]
        tables = {"checkpoints": curve, "clustering": cells, "logit_pairs": pairs, "simplex": corners}
        for name, rows in tables.items():
            if rows:
                context.run.write_table(name, pa.Table.from_pylist(rows))
        context.mirror()
    last = curve[-1]
    return {
        "weights": str(weights),
        "weights_sha256": objective.weights_sha256,
        **{name: value for name, value in last.items() if name not in ("checkpoint", "step")},
        "ordering": {
            "q_slsc_at_least_q_sl": [row["q_slsc"] >= row["q_sl"] for row in curve],
            "q_sl_over_q_dl": [ratio(row) for row in curve],
            "holds": [holds(row) for row in curve],
        },
        "status": "done",
        "passes": passes,
        "parameters": objective.parameters,
        "samples": objective.samples,
        "classes": objective.outputs,
        "data": objective.data.description,
        "model": described_model(context.config),
        "metrics": {"ordering_holds": float(holds(last))},
    }


def ratio(row: dict[str, Any]) -> float | None:
    """q_SL / |q_DL|; None where q_DL is 0."""
    return row["q_sl"] / abs(row["q_dl"]) if row["q_dl"] else None


def holds(row: dict[str, Any]) -> bool:
    """Whether q_SLSC ≥ q_SL ≥ 5 |q_DL|: the paper's ordering, with a number for its "≫"."""
    return bool(row["q_slsc"] >= row["q_sl"] >= MUCH * abs(row["q_dl"]))


def _measure_checkpoint(context: StudyContext, objective: Objective, index: int) -> tuple[Clustering, Freezing]:
    frozen = context.stage(f"freezing-{index:03d}", lambda _: pack(freezing(objective, context.runner)))
    context.progress.tick(1)
    found = context.stage(f"clustering-{index:03d}", lambda _: pack(clustering(objective, context.runner)))
    context.progress.tick(1)
    return unpack(Clustering, found), unpack(Freezing, frozen)


def _row(found: Clustering, frozen: Freezing, C: int) -> dict[str, Any]:
    return {
        "loss": frozen.loss,
        "accuracy": frozen.accuracy,
        **{name: getattr(found, name) for name in COSINES},
        "length_mean": found.length_mean,
        "length_sd": found.length_sd_all,
        "sigma_z": frozen.sigma_z,
        "sigma_z_over_scale": frozen.sigma_z / freezing_scale(C),
        "sum_p2": frozen.sum_p2,
        "sum_p2_gaussian": softmax_moments(C, frozen.sigma_z).s,
        "entropy": frozen.entropy,
        "entropy_share": frozen.entropy / math.log(C),
    }


def _cells(found: Clustering) -> list[dict[str, Any]]:
    """One row a logit and true class."""
    names = {"cosine": "by_class", "count": "counts", "length": "lengths", "length_sd": "length_sd"}
    return [
        {
            "logit": k,
            "class": c,
            **{name: _number(getattr(found, attribute)[k, c]) for name, attribute in names.items()},
        }
        for k, c in np.ndindex(found.by_class.shape)
    ]


def _pairs(found: Clustering) -> list[dict[str, Any]]:
    return [
        {"logit": k, "other": m, "cosine": _number(found.by_logits[k, m])} for k, m in np.ndindex(found.by_logits.shape)
    ]


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _corners(context: StudyContext, objective: Objective, index: int) -> list[dict[str, Any]]:
    """Probabilities of the first samples, for a picture of the simplex."""
    arrays = context.stage(
        f"simplex-{index:03d}", lambda _: Stage({"z": first_logits(objective, DRAWN, context.runner)}, {})
    ).arrays
    p_nC = softmax(arrays["z"])
    labels = objective.data.take(np.arange(len(p_nC)))[1]
    return [
        {"sample": i, "label": int(label), **{f"p{k}": float(p) for k, p in enumerate(row)}}
        for i, (row, label) in enumerate(zip(p_nC, labels, strict=True))
    ]
