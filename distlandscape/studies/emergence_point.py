"""What the emergence study measures at one checkpoint, stage by stage, and the row of numbers it becomes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from distlandscape.objective import Objective
from distlandscape.record.run import Stage
from distlandscape.results import Eigenpairs, Estimate
from distlandscape.runtime import GaussNewton, Hessian, Residual, loss_accuracy_gradient
from distlandscape.runtime.along import loss_along
from distlandscape.runtime.clustering import Clustering, Freezing, clustering, freezing
from distlandscape.spectral import confinement, plane_curvature, top_eigenpairs, trace_and_frobenius
from distlandscape.spectral.sharpness import rescaled_trace
from distlandscape.studies.confinement import gauss_newton_share
from distlandscape.studies.context import StudyContext
from distlandscape.studies.journal import RunJournal
from distlandscape.studies.packing import pack, unpack
from distlandscape.theory import find_gap

STEPS = (-1.0, 0.5, 1.0, 2.0, 3.0, 4.0)  # α of the loss along v₁, in steps of gradient descent
TEN = 10  # a size of the paper's confinement curves


@dataclass(frozen=True, eq=False)
class Point:
    """One checkpoint as it was measured.

    Attributes:
        pairs: leading eigenpairs of the Hessian.
        good: how many of them, from the top, converged.
        gradient: (P,) of the objective.
        sizes: numbers of eigenvectors looked at for confinement, by label.
        share: v_iᵀGv_i of the converged eigenvectors, and Tr G.
        values: estimates and cosines of the stage ``curvature``.
        curvatures: (d,) in a random plane, ascending.
        losses: along v₁, at the multiples STEPS of its step of gradient descent; empty without a step size.
        clustering: of logit gradients.
        freezing: of the softmax.
        passes: over the data.
    """

    pairs: Eigenpairs
    good: int
    gradient: torch.Tensor
    sizes: dict[str, int]
    share: Stage
    values: dict[str, Any]
    curvatures: np.ndarray[Any, Any]
    losses: list[float]
    clustering: Clustering
    freezing: Freezing
    passes: int


def pairs_wanted(objective: Objective) -> int:
    """Leading eigenpairs of the Hessian: 2C, at least 10, and never more than there are."""
    return min(max(2 * objective.outputs, TEN), objective.parameters)


def measure_point(context: StudyContext, objective: Objective, index: int, learning_rate: float | None) -> Point:
    """Measure a checkpoint; what was committed before is taken from the run."""
    e, runner = context.config.emergence, context.runner
    C, k = objective.outputs, pairs_wanted(objective)
    hessian = Hessian(objective, runner)

    def first(_: RunJournal) -> Stage:
        loss, accuracy, gradient = loss_accuracy_gradient(objective, runner)
        return Stage({"gradient": gradient.numpy()}, {"loss": loss, "accuracy": accuracy})

    gradient = torch.from_numpy(context.stage(f"gradient-{index:03d}", first).arrays["gradient"])

    def eigenpairs(journal: RunJournal) -> Stage:
        return pack(top_eigenpairs(hessian, k, e.tol, max_steps=e.max_steps, seed=e.seed, journal=journal))

    aim = {"top": k, "low": 0, "tol": e.tol, "dim": objective.parameters}
    pairs = unpack(Eigenpairs, context.stage(f"eigenpairs-{index:03d}", eigenpairs, **aim))
    context.progress.tick(pairs.passes)
    good = int(np.argmin(np.append(pairs.converged[: pairs.top], False)))
    vectors = pairs.eigenvectors[:good]
    wanted = {"C-1": C - 1, "C": C, "10": TEN, "2C": 2 * C}
    share = context.stage(
        f"share-{index:03d}",
        lambda _: gauss_newton_share(
            GaussNewton(objective, runner), pairs.eigenvectors[: max(good, 1)], e.trace_probes, e.seed
        ),
    )

    def curvature(_: RunJournal) -> Stage:
        both = trace_and_frobenius(hessian, e.trace_probes, e.seed, known=pairs)
        residual = trace_and_frobenius(Residual(objective, runner), e.trace_probes, e.seed)
        (image,) = hessian.apply([hessian.space.from_numpy(gradient.numpy())])
        image_P = torch.from_numpy(hessian.space.to_numpy(image)).double()
        norms = float(gradient.double().norm() * image_P.norm())
        values: dict[str, Any] = {
            "trace": asdict(both[0]),
            "frobenius": asdict(both[1]),
            "residual_trace": asdict(residual[0]),
            "residual_frobenius": asdict(residual[1]),
            "rescaled": asdict(rescaled_trace(hessian, objective.theta.numpy(), e.trace_probes, e.seed)),
            "cosine": float(gradient.double() @ image_P) / norms if norms else None,
        }
        plane = min(e.plane, objective.parameters)
        return Stage({"curvatures": plane_curvature(hessian, plane, e.seed).curvatures(plane)}, values)

    measured = context.stage(f"curvature-{index:03d}", curvature)

    def along(_: RunJournal) -> Stage:
        if not learning_rate or not good:
            return Stage({}, {"losses": []})
        v = vectors[0].double()
        step = -learning_rate * float(v @ gradient.double()) * v
        return Stage({}, {"losses": loss_along(objective, step, STEPS, runner)})

    losses = context.stage(f"along-{index:03d}", along).values["losses"]
    frozen = unpack(Freezing, context.stage(f"freezing-{index:03d}", lambda _: pack(freezing(objective, runner))))
    found = context.stage(f"clustering-{index:03d}", lambda _: pack(clustering(objective, runner)))
    context.progress.tick(8 + len(losses))
    return Point(
        pairs=pairs,
        good=good,
        gradient=gradient,
        sizes={label: size for label, size in wanted.items() if size <= good},
        share=share,
        values=measured.values,
        curvatures=measured.arrays["curvatures"],
        losses=losses,
        clustering=unpack(Clustering, found),
        freezing=frozen,
        passes=pairs.passes + 8 + len(losses),
    )


def measured_row(point: Point, samples: int, edge: float | None) -> dict[str, Any]:
    """The measured columns of a row of the table ``checkpoints``."""
    v, frozen, pairs = point.values, point.freezing, point.pairs
    trace, frobenius = Estimate(**v["trace"]), Estimate(**v["frobenius"])
    rest_trace, rest = Estimate(**v["residual_trace"]), Estimate(**v["residual_frobenius"])
    rescaled = Estimate(**v["rescaled"])
    gap = find_gap(pairs.eigenvalues, pairs.residuals) if len(pairs.eigenvalues) > 1 else None
    heads, top = point.share.values["heads"], float(pairs.eigenvalues[0])
    k = point.sizes.get("C-1")
    return {
        "loss": frozen.loss,
        "accuracy": frozen.accuracy,
        "gradient_norm": float(point.gradient.double().norm()),
        "lambda_max": top,
        "lambda_max_residual": float(pairs.residuals[0]),
        "converged": bool(pairs.converged.all()),
        "edge": edge,
        "outliers": gap.outliers if gap is not None else 0,
        "gap_ratio": gap.ratio if gap is not None and np.isfinite(gap.ratio) else None,
        "trace": trace.value,
        "trace_stderr": trace.stderr,
        "frobenius": frobenius.value,
        "frobenius_stderr": frobenius.stderr,
        "ratio": trace.value / frobenius.value,
        "ratio_stderr": float(np.hypot(trace.stderr, trace.value / frobenius.value * frobenius.stderr))
        / frobenius.value,
        "trace_g": point.share.values["trace"],
        "trace_g_stderr": point.share.values["trace_stderr"],
        "trace_r": rest_trace.value,
        "trace_r_stderr": rest_trace.stderr,
        "residual_share": rest.value / frobenius.value,
        "residual_share_stderr": float(np.hypot(rest.stderr, rest.value / frobenius.value * frobenius.stderr))
        / frobenius.value,
        "top_share_g": heads[0] / top if top else None,
        "confinement": confinement(point.gradient, pairs.eigenvectors[:k]) if k else None,
        "confinement_null": sum(heads[:k]) / point.share.values["trace"] if k else None,
        "cosine_g_hg": v["cosine"],
        "rescaled_sharpness": rescaled.value,
        "rescaled_sharpness_stderr": rescaled.stderr,
        "positive": float(np.mean(point.curvatures > 0)),
        **_clusters(point.clustering, samples),
        "sigma_z": frozen.sigma_z,
        "sum_p2": frozen.sum_p2,
    }


def _clusters(found: Clustering, samples: int) -> dict[str, Any]:
    """Cosines, their scatter over logits as standard errors, and lengths."""
    by_logits, own = found.by_logits, np.diag(found.by_class) - np.diag(found.by_logits)
    C = len(by_logits)
    different = by_logits[~np.eye(C, dtype=bool)]
    return {
        "q_slsc": found.q_slsc,
        "q_sldc": found.q_sldc,
        "q_sl": found.q_sl,
        "q_dl": found.q_dl,
        "q_same": found.q_dl_same_sample,
        "q_slsc_error": _standard_error(own, C),
        "q_sl_error": _standard_error(np.diag(by_logits), C),
        "q_dl_error": _standard_error(different, C * (C - 1) // 2),
        "length_mean": found.length_mean,
        "length_sd": found.length_sd_all,
        # Gradients of length 0 are left out of both, but count for the mean square.
        "mean_square_length": (found.length_mean**2 + found.length_sd_all**2) * found.counts.sum() / (samples * C),
    }


def _standard_error(values: np.ndarray[Any, Any], independent: int) -> float:
    there = values[np.isfinite(values)]
    return float(np.std(there, ddof=1) / np.sqrt(independent)) if len(there) > 1 else float("nan")
