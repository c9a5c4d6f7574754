"""The page of the clustering study."""

from __future__ import annotations

from distlandscape.report import interactive_classes, png_classes
from distlandscape.report.class_curves import (
    class_heat,
    cosine_panels,
    freezing_panels,
    last_rows,
    length_panels,
)
from distlandscape.report.figure import Figure, Rows, Sentence, StudyPage
from distlandscape.report.numbers import number
from distlandscape.report.tables import RunView
from distlandscape.report.train import percent


def _there(view: RunView) -> bool:
    return view.checkpoints is not None


FIGURES = {
    "cosines": Figure(
        "Clustering of logit gradients",
        (
            "The mean cosine between the gradients ∇z_k of two samples: same logit and both of that logit's class, same"
            " logit, same logit and different classes, different logits; at the checkpoints.",
            "Means over all pairs of different samples, exact, on the samples measured. A mean says nothing of the"
            " scatter around it. With the paper, clustering means q_SLSC ≥ q_SL ≫ |q_DL|.",
        ),
        _there,
        lambda view: png_classes.step_panels(view, cosine_panels(view)),
        lambda view: interactive_classes.step_panels(view, cosine_panels(view)),
    ),
    "clustering": Figure(
        "Cosines by class",
        (
            "The mean cosine between the gradients of one logit over pairs of samples of one class, at the last"
            " checkpoint. The diagonal, weighted by pairs, is q_SLSC.",
            "Rows are logits, columns the class of both samples. Small classes have few pairs.",
        ),
        lambda view: "clustering" in view.tables,
        lambda view: png_classes.heat(class_heat(view)),
        lambda view: interactive_classes.heat(class_heat(view)),
    ),
    "lengths": Figure(
        "Lengths of logit gradients",
        (
            "Mean length of ∇z_k over samples and logits, and its standard deviation (band), at the checkpoints.",
            "The band is the scatter of the gradients, not an error of the mean, which is exact for these samples.",
        ),
        _there,
        lambda view: png_classes.step_panels(view, length_panels(view)),
        lambda view: interactive_classes.step_panels(view, length_panels(view)),
    ),
    "freezing": Figure(
        "Freezing of the softmax",
        (
            "E Σp², beside what independent Gaussian logits of the same spread would give; the spread σ_z of a sample's"
            " logits over √(2 ln C), and the mean entropy over ln C.",
            "Logits of a trained network are not independent Gaussians: the dashed line is a prediction, not a fit."
            " Constants added to all logits of a sample have no part in σ_z.",
        ),
        _there,
        lambda view: png_classes.step_panels(view, freezing_panels(view)),
        lambda view: interactive_classes.step_panels(view, freezing_panels(view)),
    ),
    "simplex": Figure(
        "The simplex",
        (
            "Probabilities of the three classes as points of a triangle, coloured by true class: first, middle and last"
            " checkpoint.",
            "Only the first 2,000 samples are drawn; points of frozen samples lie on top of each other in a corner.",
        ),
        lambda view: "simplex" in view.tables,
        png_classes.simplex,
        interactive_classes.simplex,
    ),
}


def answer(view: RunView) -> Sentence:
    """The cosines at the end, and whether they are ordered as in the paper."""
    result = view.result
    if not result:
        return []
    parts: Sentence = [("Logit gradients of samples of one class agree with a mean cosine of ", False)]
    parts += [(number(result["q_slsc"], 3), True), (" (q_SLSC), of any samples with ", False)]
    parts += [(number(result["q_sl"], 3), True), (" (q_SL), of different logits with ", False)]
    parts += [(number(result["q_dl"], 3), True), (" (q_DL)", False)]
    told = "so q_SLSC ≥ q_SL ≥ 5 |q_DL| holds" if result["ordering"]["holds"][-1] else "so the order does not hold"
    return [*parts, (f"; {told}.", False)]


def _rows(view: RunView) -> list[Rows]:
    found: list[Rows] = []
    table = view.tables.get("checkpoints")
    if table is not None:
        names = ("q_slsc", "q_sldc", "q_sl", "q_dl", "q_dl_same_sample", "length_mean", "sigma_z", "sum_p2", "entropy")
        heads = (
            "step",
            "accuracy",
            "q_SLSC",
            "q_SLDC",
            "q_SL",
            "q_DL",
            "q_DL, μ = ν",
            "length",
            "σ_z",
            "E Σp²",
            "entropy",
        )
        rows = [
            (f"{row['step']:,}", percent(row["accuracy"]), *(number(row[name], 3) for name in names))
            for row in table.sort_by("step").to_pylist()
        ]
        found.append(Rows("Checkpoints", heads, rows))
    if "clustering" in view.tables:
        cells = [row for row in last_rows(view, "clustering").to_pylist() if row["logit"] == row["class"]]
        own: list[tuple[str, ...]] = [
            (
                str(c["class"]),
                f"{c['count']:,.0f}",
                number(c["cosine"], 3),
                number(c["length"], 3),
                number(c["length_sd"], 2),
            )
            for c in cells
        ]
        head = ("class", "samples", "mean cosine", "length", "its sd")
        found.append(Rows("Gradients of each class's own logit, last checkpoint", head, own))
    return found


PAGE = StudyPage(
    subject=lambda view: "logit gradients",
    answer=answer,
    figures=FIGURES,
    parts={
        "cosines": "the cosines",
        "clustering": "cosines by class",
        "lengths": "the lengths",
        "freezing": "the freezing of the softmax",
        "simplex": "the simplex, which needs three classes",
    },
    optional=("simplex",),
    doubts=lambda view: [],
    folded=_rows,
)
