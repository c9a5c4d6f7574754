"""What the figures of the emergence study draw: measurement and prediction together, PNG and page alike."""

from __future__ import annotations

import numpy as np

from distlandscape.report.class_curves import COSINES, Curve, Heat, StepPanel
from distlandscape.report.tables import Array, RunView

Columns = dict[str, Array]


def _columns(view: RunView) -> Columns:
    assert view.checkpoints is not None
    return view.checkpoints


def _model(found: Columns, name: str, label: str = "random model, mean and one standard deviation") -> Curve:
    return Curve(label, "blue", found[name], found.get(f"{name}_sd"), dashed=True)


def _by_rank(view: RunView, rank: int, column: str) -> Array:
    """A column of the table ``outliers`` for one rank, over the steps; nan where it was not measured."""
    steps = _columns(view)["step"]
    found = {row["step"]: row[column] for row in view.tables["outliers"].to_pylist() if row["rank"] == rank}
    return np.array([found.get(int(step), np.nan) for step in steps], dtype=np.float64)


def outlier_panels(view: RunView) -> list[StepPanel]:
    """The eigenvalues on both sides of the expected gap, and where it is found."""
    found, C = _columns(view), view.classes or 2
    sides = [
        Curve(f"λ{C - 1}, the last expected above the gap", "vermillion", _by_rank(view, C - 1, "eigenvalue")),
        Curve("λ of this rank in the random model", "blue", _by_rank(view, C - 1, "model"), dashed=True),
        Curve(f"λ{C + 1}, below it", "green", _by_rank(view, C + 1, "eigenvalue")),
        Curve("bulk edge of the random model", "purple", found["model_edge"], dashed=True),
    ]
    counts = [
        Curve("measured", "vermillion", found["outliers"]),
        Curve("C − 1", "blue", np.full(len(found["step"]), C - 1.0), dashed=True),
    ]
    return [StepPanel("eigenvalue", sides, decades=True), StepPanel("above the gap", counts)]


def confinement_panels(view: RunView) -> list[StepPanel]:
    """The gradient's part in the top C − 1 eigenvectors, and its cosine with its image."""
    found = _columns(view)
    curves = [
        Curve("measured", "vermillion", found["confinement"]),
        _model(found, "model_confinement"),
        Curve("labels sampled from the network", "green", found["confinement_null"], dashed=True),
    ]
    cosine = [Curve("", "vermillion", found["cosine_g_hg"])]
    return [StepPanel("|Vg|²/|g|², k = C − 1", curves, (-0.03, 1.03)), StepPanel("cosine of g and Hg", cosine)]


def sharpness_panels(view: RunView) -> list[StepPanel]:
    """λ_max beside the model and the edge of stability; the sharpness that rescaled layers leave alone."""
    found = _columns(view)
    curves = [Curve("measured", "vermillion", found["lambda_max"]), _model(found, "model_lambda_max")]
    if np.isfinite(found["edge"]).any():
        curves.append(Curve("2(1 + β)/η", "green", found["edge"], dashed=True))
    rescaled = [Curve("", "purple", found["rescaled_sharpness"], found["rescaled_sharpness_stderr"])]
    return [StepPanel("λ_max", curves, decades=True), StepPanel("Σ θ² H_ii", rescaled)]


def goldilocks_panels(view: RunView) -> list[StepPanel]:
    """Tr H/‖H‖_F and the share of positive curvature in a random plane."""
    found = _columns(view)
    ratio = [
        Curve("measured", "vermillion", found["ratio"], found["ratio_stderr"]),
        Curve("random model", "blue", found["model_ratio"], dashed=True),
    ]
    share = [
        Curve("measured", "vermillion", found["positive"]),
        Curve("semicircle of the measured trace and norm", "blue", found["semicircle_positive"], dashed=True),
    ]
    return [StepPanel("Tr H/‖H‖_F", ratio), StepPanel("share positive", share, (-0.03, 1.03))]


def input_panels(view: RunView) -> list[StepPanel]:
    """The three inputs: residual term, cosines, freezing."""
    found = _columns(view)
    residual = [
        Curve("‖R‖_F/‖H‖_F", "vermillion", found["residual_share"], found["residual_share_stderr"]),
        Curve("G's part of λ_max", "green", found["top_share_g"]),
    ]
    cosines = [Curve(name.split(":")[0], colour, found[key]) for key, (name, colour) in COSINES.items()]
    freezing = [
        Curve("measured", "vermillion", found["sum_p2"]),
        Curve("Gaussian logits of this σ_z", "blue", found["model_sum_p2"], dashed=True),
    ]
    return [StepPanel("share", residual), StepPanel("mean cosine", cosines), StepPanel("E Σp²", freezing, (0, 1.03))]


def overlap_heat(view: RunView) -> Heat:
    """Overlap of the top C − 1 eigenvectors between every two checkpoints."""
    steps = [int(step) for step in _columns(view)["step"]]
    values = np.full((len(steps), len(steps)), np.nan)
    place = {step: index for index, step in enumerate(steps)}
    for row in view.tables["overlaps"].to_pylist():
        i, j = place[row["step"]], place[row["other_step"]]
        values[i, j] = values[j, i] = row["overlap"]
    np.fill_diagonal(values, 1.0)
    names = [f"{step:,}" for step in steps]
    return Heat(values, names, names, "step", "step", "‖V V'ᵀ‖²/k", signed=False)
