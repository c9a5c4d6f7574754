"""The page of the hierarchy study."""

from __future__ import annotations

from distlandscape.display import counted
from distlandscape.report import interactive_classes, png_classes
from distlandscape.report.class_curves import kernel_panels, overlap_heat, share_panels
from distlandscape.report.figure import Figure, Notice, Rows, Sentence, StudyPage
from distlandscape.report.numbers import number, with_error
from distlandscape.report.tables import RunView

FIGURES = {
    "levels": Figure(
        "Spectra of the levels",
        (
            "Leading eigenvalues of the Hessian H and of the levels of class structure in its Gauss-Newton term, at the"
            " last checkpoint: G0 of the class means, G1 of the means over the other logits, G2 of what is left of"
            " the means.",
            "Levels overlap, so their eigenvalues need not be eigenvalues of H. Those of G0 and G1 are exact, and there"
            " are no more than C of each; those of H and G2 are as converged as the status says. H holds the"
            " residual term and weight decay too.",
        ),
        lambda view: "levels" in view.tables,
        png_classes.levels,
        interactive_classes.levels,
    ),
    "overlaps": Figure(
        "Which class an outlier belongs to",
        (
            "Squared cosine between each leading eigenvector of the Hessian and the mean μ_cc of each class, at the"
            " last checkpoint.",
            "Means are not orthogonal, so a row may add up to more or less than 1; close eigenvalues mix their"
            " eigenvectors, and then an outlier belongs to several classes. The share in the span of all means is in"
            " the table below.",
        ),
        lambda view: "overlaps" in view.tables,
        lambda view: png_classes.heat(overlap_heat(view)),
        lambda view: interactive_classes.heat(overlap_heat(view)),
    ),
    "traces": Figure(
        "Shares of the trace",
        (
            "How Tr G is shared out among the four levels at the checkpoints; G3 is the scatter of single samples"
            " around their means. A band, where there is one, is a standard error.",
            "A small share in the trace can still hold the largest eigenvalues: G0 and G1 have C directions, G3 many.",
        ),
        lambda view: "traces" in view.tables and view.checkpoints is not None,
        lambda view: png_classes.step_panels(view, share_panels(view)),
        lambda view: interactive_classes.step_panels(view, share_panels(view)),
    ),
    "kernel": Figure(
        "Drift of the kernel",
        (
            "How far the empirical neural tangent kernel moves from the first checkpoint's, and the accuracy of the"
            " network linearised there beside the network's own.",
            "All on the samples measured. The linearised network was not trained: it is moved to the weights that the"
            " network itself was trained to.",
        ),
        lambda view: view.checkpoints is not None and "kernel_drift" in view.checkpoints,
        lambda view: png_classes.step_panels(view, kernel_panels(view)),
        lambda view: interactive_classes.step_panels(view, kernel_panels(view)),
    ),
}


def answer(view: RunView) -> Sentence:
    """How many outliers there are, and how much of them lies in the span of the class means."""
    result = view.result
    if not result:
        return []
    C = int(result["classes"])
    outliers = int(result["outliers"])
    count = counted(outliers, "eigenvalue")
    gap = "no gap" if not outliers else f"a gap after {count}"
    leading = result["own_span"][: outliers or C]
    parts: Sentence = [("The Hessian's leading eigenvalues show ", False), (gap, True), (f" with {C} classes; ", False)]
    share = sum(leading) / len(leading)
    parts += [
        (f"{100 * share:.0f} %", True),
        (" of these eigenvectors lies in the span of the class means, and ", False),
    ]
    return [*parts, (f"{100 * result['share_g0']:.1f} %", True), (" of Tr G in G0.", False)]


def _doubts(view: RunView) -> list[Notice]:
    status = view.result.get("status")
    if not view.result or status == "converged":
        return []
    return [
        Notice("Not everything has converged.", f"{status}. In the configuration: hierarchy.max_steps, hierarchy.tol.")
    ]


def _rows(view: RunView) -> list[Rows]:
    result = view.result
    if not result:
        return []
    columns = ("eigenvalues", "residuals", "belongs_to", "own_cosine", "own_span", "across_span")
    own: list[tuple[str, ...]] = [
        (str(i + 1), number(value), number(residual, 2), str(c), *(number(share, 3) for share in shares))
        for i, (value, residual, c, *shares) in enumerate(zip(*(result[name] for name in columns), strict=True))
    ]
    head = (
        "rank",
        "eigenvalue of H",
        "residual",
        "class of the nearest mean",
        "cos²",
        "share in the span of μ_cc",
        "of μ_c",
    )
    traces = result["traces"]
    levels: list[tuple[str, ...]] = [
        (f"G{i}", with_error(value, error), f"{100 * value / traces['total']:.2f} %" if traces["total"] else "–")
        for i, (value, error) in enumerate(zip(traces["levels"], traces["stderr"], strict=True))
    ]
    spectra: list[tuple[str, ...]] = [
        (name, ", ".join(number(value, 3) for value in result[name.lower()][:12])) for name in ("G0", "G1", "G2")
    ]
    return [
        Rows("Outliers and class means", head, own),
        Rows("Traces of the levels", ("level", "trace", "share of Tr G"), levels),
        Rows("Leading eigenvalues of the levels", ("level", "eigenvalues"), spectra),
    ]


PAGE = StudyPage(
    subject=lambda view: "class structure of the Hessian",
    answer=answer,
    figures=FIGURES,
    parts={
        "levels": "the spectra of the levels",
        "overlaps": "the overlaps with class means",
        "traces": "the traces",
        "kernel": "the kernel",
    },
    optional=("kernel",),
    doubts=_doubts,
    folded=_rows,
)
