"""What the page says in sentences: the answer, and what to know before trusting it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from distlandscape.record.mlflow_values import redact
from distlandscape.report.numbers import number, with_error
from distlandscape.report.tables import RunView
from distlandscape.report.words import figure_names

# A relation this many times above rounding says that products were not repeatable.
CERTIFIED = 100.0
MISSING = {
    "eigenvalues": "eigenvalues",
    "density": "eigenvalue density",
    "estimates": "trace and Frobenius norm",
    "confinement": "gradient confinement",
    "training": "the course of training (two checkpoints or more)",
}
# What a spectrum run without training on the spot cannot have.
OPTIONAL = ("confinement", "training")


@dataclass(frozen=True)
class Notice:
    """A message at the top of the page."""

    title: str
    text: str


def answer(view: RunView) -> list[tuple[str, bool]]:
    """The result in one sentence, as pieces of text; True marks those to stress. Empty without a result."""
    if view.study == "train":
        return _trained(view)
    parts: list[tuple[str, bool]] = []
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


def _trained(view: RunView) -> list[tuple[str, bool]]:
    result = view.result
    if not result:
        return []
    parts = [(f"After {result['steps']:,} steps the mean loss is ", False), (number(result["loss"]), True)]
    if result["accuracy"] is not None:
        parts += [(" at an accuracy of ", False), (f"{100 * result['accuracy']:.1f} %", True)]
    parts += [(" on the samples trained on", False)]
    if result["test_accuracy"] is not None:
        parts += [(" and of ", False), (f"{100 * result['test_accuracy']:.1f} %", True), (" on the test split", False)]
    elif result["test_loss"] is not None:
        parts += [(" and ", False), (number(result["test_loss"]), True), (" on the test split", False)]
    return [*parts, (".", False)]


def certificate(view: RunView) -> bool | None:
    """Whether the Lanczos relation held to rounding; None where that was not measured."""
    relation = (view.result.get("trust") or {}).get("relation")
    return None if relation is None else float(relation) <= CERTIFIED * view.eps


def missing(view: RunView) -> list[str]:
    """Keys of MISSING that the run does not hold."""
    there = {*figure_names(view), *(["estimates"] if "estimates" in view.tables else [])}
    wanted = ["training"] if view.study == "train" else MISSING
    return [key for key in wanted if key not in there]


def notices(view: RunView) -> list[Notice]:
    """What stands between the reader and the numbers, the gravest first, each with its remedy."""
    found = [_unfinished(view), _failed(view), _unconverged(view), _uncertified(view), _gaps(view)]
    return [notice for notice in found if notice is not None]


def _resume(view: RunView) -> str:
    return f"distlandscape resume {shlex.quote(str(view.path))}"


def _list(keys: list[str]) -> str:
    return ", ".join(MISSING[key] for key in keys)


def _unfinished(view: RunView) -> Notice | None:
    if view.result or view.status == "failed":
        return None
    so_far = f" Not here yet: {_list(missing(view))}." if missing(view) else ""
    if view.status == "interrupted":
        return Notice("This run was interrupted.", f"Continue it where it stopped with: {_resume(view)}.{so_far}")
    cut = f"It is going on, or was cut off; in that case continue it with: {_resume(view)}."
    return Notice("This run has not ended.", cut + so_far)


def _failed(view: RunView) -> Notice | None:
    if view.status != "failed":
        return None
    why = redact(view.detail).strip().rstrip(".")
    gaps = f" Not here: {_list(missing(view))}." if missing(view) else ""
    remedy = f"Remove the cause, then continue with: {_resume(view)}." if view.resumable else "Start a new run."
    return Notice("This run failed.", f"{why}. {remedy}{gaps}" if why else remedy + gaps)


def _unconverged(view: RunView) -> Notice | None:
    good, count = view.converged
    if good == count:
        return None
    status = redact(str(view.result.get("status") or "")).strip()
    if not status or status == "converged":
        status = f"{good} of {count} pairs converged: raise spectrum.max_steps or loosen spectrum.tol"
    title = f"{count - good} of {count} eigenpairs have not converged."
    return Notice(title, f"{status.rstrip('.')}. They are marked wherever they appear and should not be quoted.")


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


def _gaps(view: RunView) -> Notice | None:
    """A finished run that lacks what every run should have."""
    gaps = [key for key in missing(view) if key not in OPTIONAL]
    if not view.result or view.status == "failed" or not gaps:
        return None
    return Notice("Parts are missing.", f"The run directory has no table for: {_list(gaps)}. Run the study again.")
