"""The words on and around the figures, PNG and page alike."""

from __future__ import annotations

from distlandscape.report.curves import Panel
from distlandscape.report.numbers import number
from distlandscape.report.tables import Confinement, Pairs, RunView

EIGENVALUE = "eigenvalue λ (loss per unit weight²)"
DENSITY = "share of eigenvalues per unit of λ"
RESIDUAL = "residual / |λ|"
SHARE = "per cent of the whole trace, ± 1 standard error"
BATCHES = "mini-batches"
# How the columns of the checkpoints begin: where they were measured, colour, mark for paper.
MEASURED_ON = {
    "": ("all samples, at the checkpoints", "vermillion", "o"),
    "test_": ("held-out samples, at the checkpoints", "purple", "D"),
}
RATE = "learning rate"
STEP = "training step (logarithmic from 1 on)"
FRACTION = "fraction of |gradient|² in the top k"
# Column of the checkpoints: axis and colour.
CHECKPOINTS = {
    "loss": ("mean loss", "blue"),
    "accuracy": ("accuracy", "green"),
    "lambda_max": ("largest eigenvalue", "vermillion"),
}


def density_title(view: RunView, panel: Panel) -> str:
    """What a panel of the density shows."""
    if panel.kind == "bulk":
        return "The bulk, enlarged"
    size = "" if view.parameters is None else f", P = {view.parameters:,}"
    return f"Eigenvalue density of the {view.operator}{size}"


def bandwidth_note(panel: Panel) -> str:
    """The smoothing, which every density has to state."""
    return f"Gaussian bandwidth {number(panel.bandwidth, 2)}, {100 * panel.relative:g} % of the range"


def draws_note(panel: Panel) -> str:
    """What the band around the density is."""
    return f"smallest to largest of {panel.draws} draws"


def gap_rank(view: RunView) -> int | None:
    """C − 1, where the guide between outliers and bulk goes; None when C is unknown or too few eigenvalues are."""
    if view.classes is None or view.top is None or not 1 <= view.classes - 1 < len(view.top.values):
        return None
    return view.classes - 1


def curve_name(curve: Confinement) -> str:
    """k, and what it stands for."""
    meaning = {"C-1": "C − 1", "C": "C"}
    names = [meaning[label] for label in curve.labels if label in meaning]
    return f"k = {curve.k}" + (f" = {' = '.join(names)}" if names else "")


def tolerance_name(view: RunView) -> str:
    """The line below which a pair has converged."""
    return f"tolerance {number(view.tol, 1)}, or rounding"


def mark_name(name: str, converged: bool) -> str:
    """What marks of one end of the spectrum are, filled or hollow."""
    return f"{name} eigenvalues{'' if converged else ', not converged'}"


def end_title(view: RunView, name: str, pairs: Pairs) -> str:
    """What a panel of the eigenvalues shows; the lowest have the narrow one."""
    of = f" eigenvalues of the {view.operator}" if name == "largest" else ""
    return f"{name.capitalize()} {len(pairs.values)}{of}"


def ends(view: RunView) -> list[tuple[str, Pairs, str]]:
    """Name, pairs and colour of each end of the spectrum that was measured."""
    both = (("largest", view.top, "vermillion"), ("lowest", view.lowest, "purple"))
    return [(name, pairs, colour) for name, pairs, colour in both if pairs is not None]
