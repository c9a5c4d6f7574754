"""The page of the theory study."""

from __future__ import annotations

from distlandscape.report import interactive_theory, png_theory
from distlandscape.report.figure import Figure, Rows, Sentence, StudyPage
from distlandscape.report.numbers import number, with_error
from distlandscape.report.tables import RunView

NAMES = {
    "outlier": ("outliers", "top"),
    "bulk_edge": ("bulk edge", "bulk"),
    "overlap": ("overlap with the cluster means", "overlap"),
    "confinement": ("gradient confinement", "confinement"),
    "trace": ("Tr G", "trace"),
    "frobenius": ("‖G‖_F", "frobenius"),
    "trace_over_frobenius": ("Tr G/‖G‖_F", "trace_over_frobenius"),
}

FIGURES = {
    "model_spectrum": Figure(
        "Spectrum with outliers",
        (
            "Eigenvalues of one draw of G by rank, with the predicted outliers and the predicted edge of the bulk.",
            "One draw scatters. The prediction holds where C is far below N and D; the C − 1 outliers come from equal"
            " lengths of the cluster means, which real networks need not have.",
        ),
        lambda view: "model_spectrum" in view.tables and bool(view.result),
        png_theory.spectrum,
        interactive_theory.spectrum,
    ),
    "draws": Figure(
        "Gradient confinement",
        (
            "The gradient's fraction in the C − 1 leading eigenvectors of each draw, its mean, the prediction, and what"
            " a random direction would give.",
            "A single draw scatters by about ±0.1 at ten classes; only means over many draws compare with theory. The"
            " prediction is for labels sampled from the model.",
        ),
        lambda view: "draws" in view.tables and bool(view.result),
        png_theory.confinement,
        interactive_theory.confinement,
    ),
    "growth": Figure(
        "Curvature against logit variance",
        (
            "The leading eigenvalue and Tr G/‖G‖_F as logits grow, for logit gradients that grow like σ_c² ∝ σ_z^α:"
            " predicted (lines) and one draw each (dots).",
            "At fixed σ_c the outlier only falls; it rises and falls for 0 < α < 1, and never falls for α ≥ 1. Tr/‖·‖_F"
            " falls with σ_z only through finite N. Neither follows from the model without a growth law.",
        ),
        lambda view: "growth" in view.tables,
        png_theory.growth,
        interactive_theory.growth,
    ),
    "planes": Figure(
        "Curvature in a random plane",
        (
            "Eigenvalues of VᵀGV for random planes of dimension d, with the semicircle of the bulk and the places of"
            " the outliers that are strong enough to show (dashed).",
            "The semicircle is a limit for 1 ≪ d ≪ D; in small planes the histogram is coarse. An outlier keeps d/D of"
            " its strength in a plane and may drown in the semicircle; where there are not far fewer outliers than d,"
            " they lean on each other and spread further than the lines.",
        ),
        lambda view: "planes" in view.tables and bool(view.result),
        png_theory.planes,
        interactive_theory.planes,
    ),
}


def answer(view: RunView) -> Sentence:
    """Predicted and measured outliers in one sentence."""
    result = view.result
    if not result:
        return []
    predicted, mean, stderr = result["predicted"], result["measured"], result["stderr"]
    measured = (with_error(mean["top"], stderr["top"]), True)
    if predicted["outlier"] is None:
        return [
            ("No outliers are predicted above the bulk's edge at ", False),
            (number(predicted["bulk_edge"]), True),
            (f"; the {int(result['classes']) - 1} leading eigenvalues of {result['draws']} draws are ", False),
            measured,
            (".", False),
        ]
    return [
        ("Outliers are predicted at ", False),
        (number(predicted["outlier"]), True),
        (", and found at ", False),
        measured,
        (f" in {result['draws']} draws.", False),
    ]


def _rows(view: RunView) -> list[Rows]:
    result = view.result
    if not result:
        return []
    rows: list[tuple[str, ...]] = []
    for name, (label, column) in NAMES.items():
        predicted = result["predicted"][name]
        told = "none" if predicted is None else number(predicted, 5)
        rows.append((label, told, with_error(result["measured"][column], result["stderr"][column])))
    return [Rows("Predicted and measured", ("quantity", "predicted", "mean of draws"), rows)]


def _sets(view: RunView) -> list[Rows]:
    """Further parameter sets, a row each: prediction / mean of the draws."""
    table = view.tables.get("sets")
    if table is None:
        return []
    names = ("outlier", "bulk_edge", "overlap", "confinement")
    parameters = ("classes", "examples", "dim", "sigma_c", "sigma_e", "sigma_z")
    rows: list[tuple[str, ...]] = []
    for row in table.to_pylist():
        cells = [f"{number(row[f'predicted_{name}'], 3)} / {number(row[name], 3)}" for name in names]
        rows.append((", ".join(f"{row[p]:g}" for p in parameters), *cells))
    head = ("C, N, D, σ_c, σ_E, σ_z", *(NAMES[name][0] for name in names))
    return [Rows("Further parameter sets: predicted / mean of draws", head, rows)]


PAGE = StudyPage(
    subject=lambda view: "the random model of clustered logit gradients",
    answer=answer,
    figures=FIGURES,
    parts={
        "model_spectrum": "the spectrum of a draw",
        "draws": "the draws",
        "growth": "the sweep over σ_z",
        "planes": "the random planes",
    },
    optional=("growth", "planes"),
    doubts=lambda view: [],
    folded=_sets,
    of_a_network=False,
    first=_rows,
)
