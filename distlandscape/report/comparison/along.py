"""What several runs have in common along training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from distlandscape.report import words
from distlandscape.report.comparison.overlay import Axis, Curve, Overlay, Panel, all_positive, overlay, shared
from distlandscape.report.tables import RunView

SHARE = (-0.03, 1.03)
STEPS: Axis = "steps"


def training(views: Sequence[RunView]) -> Overlay | None:
    """Loss, accuracy and largest eigenvalue at the checkpoints."""
    caption = (
        "Loss, accuracy and the largest eigenvalue at the checkpoints that were kept.",
        "Lines join the checkpoints and say nothing of what lies between them. Losses of different objectives, or over"
        " different samples, do not compare.",
    )
    panels = [
        _panel(views, "loss", "mean loss", log=True),
        _panel(views, "test_loss", "held-out loss", log=True),
        _panel(views, "accuracy", "accuracy", SHARE),
        _panel(views, "test_accuracy", "held-out accuracy", SHARE),
        _panel(views, "lambda_max", "largest eigenvalue"),
    ]
    return overlay("training", "Training", caption, panels)


def confinement(views: Sequence[RunView]) -> Overlay | None:
    """The gradient's part in the top C − 1 eigenvectors, beside its null."""
    found = shared(views, _confined)
    caption = (
        "The part of the gradient in the top C − 1 eigenvectors at each checkpoint (solid), beside what labels sampled"
        " from the model alone would give (dashed).",
        "Compare each run with its own dashed line. A single gradient scatters around it.",
    )
    panel = Panel("", "|Vg|²/|g|², k = C − 1", words.STEP, found, STEPS, y_range=SHARE)
    return overlay("confinement", "Gradient confinement", caption, [panel])


def _confined(view: RunView) -> list[Curve]:
    own = [curve for curve in view.confinement if "C-1" in curve.labels]
    if own:
        null, error = own[0].share, own[0].share_stderr
        band = null - error, null + error
        reference = Curve(own[0].step, null, band, note="sampled labels", reference=True)
        return [Curve(own[0].step, own[0].fraction), *([reference] if np.isfinite(null).any() else [])]
    found = view.checkpoints or {}
    if "confinement" not in found:
        return []
    reference = Curve(found["step"], found["confinement_null"], note="sampled labels", reference=True)
    return [Curve(found["step"], found["confinement"]), reference]


def clustering(views: Sequence[RunView]) -> Overlay | None:
    """The mean cosines of logit gradients."""
    caption = (
        "Mean cosines between logit gradients of two samples: same logit and both of its class (q_SLSC), same logit"
        " (q_SL), different logits (q_DL); at the checkpoints.",
        "Bars, where there are any, are errors of estimates over part of the pairs; without them the means are exact"
        " for the samples measured.",
    )
    names = {"q_slsc": "q_SLSC", "q_sl": "q_SL", "q_dl": "q_DL"}
    panels = [_panel(views, column, label, error=f"{column}_error") for column, label in names.items()]
    return overlay("clustering", "Clustering of logit gradients", caption, panels)


def properties(views: Sequence[RunView]) -> Overlay | None:
    """What else the studies measure at their checkpoints."""
    caption = (
        "Further quantities at the checkpoints: the residual term's share, Tr H/‖H‖_F, freezing of the softmax, the"
        " sharpness that rescaled layers leave alone, shares of the levels in Tr G, and drift of the kernel.",
        "Bars are standard errors.",
    )
    columns = {
        "residual_share": "‖R‖_F/‖H‖_F",
        "ratio": "Tr H/‖H‖_F",
        "sum_p2": "E Σp²",
        "rescaled_sharpness": "Σ θ² H_ii",
        **{f"share_g{level}": f"share of G{level}" for level in range(4)},
        "kernel_drift": "‖K − K₀‖ / ‖K₀‖",
    }
    panels = [_panel(views, column, label, error=f"{column}_stderr") for column, label in columns.items()]
    return overlay("properties", "Further quantities along training", caption, panels)


def _panel(
    views: Sequence[RunView],
    column: str,
    label: str,
    limits: tuple[float, float] | None = None,
    *,
    log: bool = False,
    error: str = "",
) -> Panel:
    found = shared(views, _by_step(column, error))
    return Panel("", label, words.STEP, found, STEPS, y_log=log and all_positive(found), y_range=limits)


def _by_step(column: str, error: str) -> Callable[[RunView], list[Curve]]:
    def curves(view: RunView) -> list[Curve]:
        found = view.checkpoints or {}
        if column not in found or not np.isfinite(found[column]).any():
            return []
        values, spread = found[column], found.get(error)
        bars = None if spread is None else (values - spread, values + spread)
        return [Curve(found["step"], values, bars)]

    return curves
