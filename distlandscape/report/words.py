"""The words on and around the figures, PNG and page alike."""

from __future__ import annotations

from distlandscape.report.course import course
from distlandscape.report.curves import Panel
from distlandscape.report.numbers import number
from distlandscape.report.tables import Confinement, Pairs, RunView

EIGENVALUE = "eigenvalue λ (loss per unit weight²)"
DENSITY = "share of eigenvalues per unit of λ"
RESIDUAL = "residual / |λ|"
STEP = "training step (logarithmic from 1 on)"
FRACTION = "fraction of |gradient|² in the top k"

# What each figure shows, and how it can mislead.
CAPTIONS = {
    "density": (
        "How all P eigenvalues are distributed, on a logarithmic axis. Stems are eigenvalues known one by one; the rest"
        " is estimated from random start vectors and smoothed.",
        "Smoothing spreads the peak at zero to both sides, so do not count negative eigenvalues on the curve; a bump as"
        " wide as the bandwidth may be a single node. The C − 1 line is a guide, not a finding.",
    ),
    "eigenvalues": (
        "The eigenvalues at each end of the spectrum against their rank, with residual bars (often smaller than the"
        " marks), and the residual relative to each eigenvalue.",
        "A small residual says that some eigenvalue lies this close; it does not say that none was missed, nor"
        " that other samples would give the same value. Hollow marks have not converged: do not quote them.",
    ),
    "confinement": (
        "The part of the gradient that lies in the top k eigenvectors at each checkpoint (solid), beside what labels"
        " sampled from the model alone would give (dashed, ± 1 standard error) and k/P (dotted).",
        "Compare with the dashed line, not the dotted one: every real network beats k/P. A single gradient scatters"
        " around the dashed line, and where eigenvalues k and k + 1 are close the space is not well defined.",
    ),
    "training": (
        "The course of training at the checkpoints that were kept (marks).",
        "Lines join the checkpoints and say nothing of what lies between them. Loss and accuracy are those of the"
        " samples measured, not of held-out data, unless they are called test. Losses of mini-batches are those of"
        " train mode, with dropout on and weight decay left out.",
    ),
}
TITLES = {
    "density": "Eigenvalue density",
    "eigenvalues": "Eigenvalues and residuals",
    "confinement": "Gradient confinement",
    "training": "Training",
}


def figure_names(view: RunView) -> list[str]:
    """The figures that can be drawn from the tables there are."""
    there = {
        "density": view.density is not None,
        "eigenvalues": view.top is not None or view.lowest is not None,
        "confinement": bool(view.confinement),
        "training": bool(course(view)),
    }
    return [name for name, is_there in there.items() if is_there]


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
