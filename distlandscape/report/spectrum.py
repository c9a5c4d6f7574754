"""The page of the spectrum study: its figures, its answer, and what to know before trusting it."""

from __future__ import annotations

from distlandscape.report import (
    interactive_layers,
    interactive_spectrum,
    interactive_steps,
    png_layers,
    png_spectrum,
    png_steps,
)
from distlandscape.report.figure import Figure, Notice, Sentence, StudyPage
from distlandscape.report.numbers import number, with_error
from distlandscape.report.tables import RunView

# A relation this many times above rounding says that products were not repeatable.
CERTIFIED = 100.0

FIGURES = {
    "density": Figure(
        "Eigenvalue density",
        (
            "How all P eigenvalues are distributed, on a logarithmic axis. Stems are eigenvalues known one by one; the"
            " rest is estimated from random start vectors and smoothed.",
            "Smoothing spreads the peak at zero to both sides, so do not count negative eigenvalues on the curve; a"
            " bump as wide as the bandwidth may be a single node. The C − 1 line is a guide, not a finding.",
        ),
        lambda view: view.density is not None,
        png_spectrum.density,
        interactive_spectrum.density,
    ),
    "eigenvalues": Figure(
        "Eigenvalues and residuals",
        (
            "The eigenvalues at each end of the spectrum against their rank, with residual bars (often smaller than the"
            " marks), and the residual relative to each eigenvalue.",
            "A small residual says that some eigenvalue lies this close; it does not say that none was missed, nor"
            " that other samples would give the same value. Hollow marks have not converged: do not quote them.",
        ),
        lambda view: view.top is not None or view.lowest is not None,
        png_spectrum.eigenvalues,
        interactive_spectrum.eigenvalues,
    ),
    "layers": Figure(
        "Layer by layer",
        (
            "The diagonal block of each layer's own parameters: its largest eigenvalue, and what its trace is of the"
            " whole one.",
            "A block's largest eigenvalue is a lower bound on the whole one; how layers act together is in the blocks"
            " beside the diagonal, which are not here. Shares need not be positive where the matrix is indefinite, and"
            " add up to 100 % only if all layers were measured.",
        ),
        lambda view: "layers" in view.tables,
        png_layers.layers,
        interactive_layers.layers,
    ),
    "confinement": Figure(
        "Gradient confinement",
        (
            "The part of the gradient that lies in the top k eigenvectors at each checkpoint (solid), beside what"
            " labels sampled from the model alone would give (dashed, ± 1 standard error) and k/P (dotted).",
            "Compare with the dashed line, not the dotted one: every real network beats k/P. A single gradient scatters"
            " around the dashed line, and where eigenvalues k and k + 1 are close the space is not well defined.",
        ),
        lambda view: bool(view.confinement),
        png_steps.confinement,
        interactive_steps.confinement,
    ),
    "training": Figure(
        "Training",
        (
            "Loss, accuracy and the largest eigenvalue at the checkpoints that were kept.",
            "Lines join the checkpoints and say nothing of what lies between them. Loss and accuracy are those of"
            " the samples measured, not of held-out data.",
        ),
        lambda view: view.checkpoints is not None and len(view.checkpoints["step"]) > 1,
        png_steps.checkpoints,
        interactive_steps.checkpoints,
    ),
}


def answer(view: RunView) -> Sentence:
    """Largest eigenvalue, trace, and how many pairs converged."""
    parts: Sentence = []
    if view.top is not None:
        value, residual = float(view.top.values[0]), float(view.top.residuals[0])
        if view.top.converged[0]:
            certified = "certified " if certificate(view) else ""
            parts += [(f"The {certified}largest eigenvalue of the {view.operator} is ", False)]
            parts += [(with_error(value, residual), True)]
        else:
            parts += [(f"The largest eigenvalue of the {view.operator} has not converged", True)]
            parts += [(f" (so far at least {number(value)}, residual {number(residual, 2)})", False)]
    if view.trace is not None:
        parts += [(", its trace is " if parts else f"The trace of the {view.operator} is ", False)]
        parts += [(with_error(view.trace.value, view.trace.stderr), True)]
    good, count = view.converged
    if count:
        share = f"all {count}" if good == count else f"{good} of {count}"
        parts += [("; ", False), (share, True), (" eigenpairs converged", False)]
    return [*parts, (".", False)] if parts else []


def certificate(view: RunView) -> bool | None:
    """Whether the Lanczos relation held to rounding; None where that was not measured."""
    relation = (view.result.get("trust") or {}).get("relation")
    return None if relation is None else float(relation) <= CERTIFIED * view.eps


def doubts(view: RunView) -> list[Notice]:
    """Pairs that have not converged, in the whole or in a layer, a density short of its target, poor products."""
    notices = (_unconverged(view), _layers(view), _density(view), _uncertified(view))
    return [notice for notice in notices if notice is not None]


def _unconverged(view: RunView) -> Notice | None:
    good, count = view.converged
    if good == count:
        return None
    status = str(view.result.get("status") or "").strip()
    if not status or status == "converged":
        status = f"{good} of {count} pairs converged: raise spectrum.max_steps or loosen spectrum.tol"
    title = f"{count - good} of {count} eigenpairs have not converged."
    return Notice(title, f"{status.rstrip('.')}. They are marked wherever they appear and should not be quoted.")


def _layers(view: RunView) -> Notice | None:
    rows = view.tables["layers"].to_pylist() if "layers" in view.tables else []
    bad = [str(row["layer"]) for row in rows if not row["converged"]]
    if not bad:
        return None
    shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    return Notice(
        f"The largest eigenvalue of {len(bad)} of {len(rows)} layers has not converged.",
        f"These are {shown}: their marks are hollow; raise spectrum.max_steps.",
    )


def _density(view: RunView) -> Notice | None:
    target, density = (view.config.get("spectrum") or {}).get("density_target"), view.result.get("density") or {}
    error = density.get("error")
    if target is None or error is None or error <= target:
        return None
    return Notice(
        "The density is less exact than was asked for.",
        f"Its error after {density['draws']} draws is {number(error, 2)} of the range, above {number(target, 2)}: raise"
        " spectrum.density_max_draws.",
    )


def _uncertified(view: RunView) -> Notice | None:
    if certificate(view) is not False:
        return None
    relation = number(float(view.result["trust"]["relation"]), 2)
    return Notice(
        "The residuals are not certified.",
        f"The Lanczos relation holds only to {relation} of ‖{view.symbol}‖, far above rounding: the product was not"
        " repeatable. Look for dropout, batch statistics that depend on the cut, or kernels that add in a random"
        " order, and measure again.",
    )


PAGE = StudyPage(
    subject=lambda view: view.operator,
    answer=answer,
    figures=FIGURES,
    parts={
        "eigenvalues": "eigenvalues",
        "density": "eigenvalue density",
        "estimates": "trace and Frobenius norm",
        "confinement": "gradient confinement",
        "training": "the course of training (two checkpoints or more)",
    },
    optional=("confinement", "training"),  # what a run without training on the spot cannot have
    doubts=doubts,
    folded=lambda view: [],
)
