"""Tables with a column a run: what differs, the numbers, the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from distlandscape.report.comparison.differences import Difference
from distlandscape.report.figure import Rows
from distlandscape.report.numbers import number, with_error
from distlandscape.report.plane_curves import crossing_words
from distlandscape.report.tables import Pairs, RunView
from distlandscape.report.train import percent

NONE = "–"
HEADLINES = ("largest eigenvalue", "d_int90 (95 % interval)", "highest Tr H/‖H‖_F", "q_SLSC", "held-out accuracy")
SIZES = ("parameters", "samples", "classes")  # told where they differ


def differing(title: str, found: list[Difference], labels: Sequence[str]) -> Rows | None:
    """What differs, a row a key; None where nothing does."""
    rows = [(difference.key, *difference.values) for difference in found]
    return Rows(title, ("", *labels), rows, tuple(labels)) if rows else None


def numbers(views: Sequence[RunView], labels: Sequence[str]) -> Rows | None:
    """The numbers that at least two runs hold, with their errors; None without any."""
    rows: list[tuple[str, ...]] = []
    for name, tell in QUANTITIES.items():
        cells = [tell(view) for view in views]
        told = name not in SIZES or len(set(cells)) > 1
        if told and sum(cell is not None for cell in cells) > 1:
            rows.append((name, *(cell or NONE for cell in cells)))
    return Rows("Numbers side by side", ("", *labels), rows) if rows else None


def verdicts(views: Sequence[RunView], labels: Sequence[str]) -> Rows | None:
    """Verdicts by claim, with what was measured and predicted; None where fewer than two runs have any."""
    found = [{v["claim"]: v for v in view.result.get("verdicts") or []} for view in views]
    if sum(map(bool, found)) < 2:
        return None
    claims = dict.fromkeys(claim for one in found for claim in one)
    rows = [(claim, *(_verdict(one.get(claim)) for one in found)) for claim in claims]
    return Rows("Claims and verdicts: measured (predicted ± error)", ("", *labels), rows, tuple(labels))


def agreement(views: Sequence[RunView]) -> tuple[int, int] | None:
    """On how many claims all runs that judged any agree, of how many they all judged."""
    judged = [view.result.get("verdicts") for view in views]
    found = [{v["claim"]: v["verdict"] for v in one} for one in judged if one]
    if len(found) < 2:
        return None
    common = set.intersection(*(set(one) for one in found))
    return sum(len({one[claim] for one in found}) == 1 for claim in common), len(common)


def _verdict(v: dict[str, Any] | None) -> str:
    if v is None:
        return NONE
    measured, predicted, error = (number(v[name], 3) for name in ("measured", "predicted", "error"))
    return f"{v['verdict']}: {measured} ({predicted} ± {error})"


def _largest(view: RunView) -> str | None:
    """The largest eigenvalue with its residual, or that it has not converged."""
    return None if view.top is None else _extreme(view.top)


def _extreme(pairs: Pairs) -> str:
    value, residual = float(pairs.values[0]), float(pairs.residuals[0])
    return with_error(value, residual) if pairs.converged[0] else f"not converged (so far {number(value, 3)})"


def _count(key: str) -> Callable[[RunView], str | None]:
    def tell(view: RunView) -> str | None:
        value = view.result.get(key)
        return None if value is None else f"{int(value):,}"

    return tell


def _plain(key: str, digits: int = 4) -> Callable[[RunView], str | None]:
    def tell(view: RunView) -> str | None:
        value = view.result.get(key)
        return number(float(value), digits) if isinstance(value, (int, float)) else None

    return tell


def _share(key: str) -> Callable[[RunView], str | None]:
    def tell(view: RunView) -> str | None:
        value = view.result.get(key)
        return percent(value) if isinstance(value, (int, float)) else None

    return tell


def _pairs_converged(view: RunView) -> str | None:
    good, count = view.converged
    return f"{good} of {count}" if count else None


def _trace(view: RunView) -> str | None:
    return None if view.trace is None else with_error(view.trace.value, view.trace.stderr)


def _frobenius(view: RunView) -> str | None:
    return None if view.frobenius is None else with_error(view.frobenius.value, view.frobenius.stderr)


def _dimension(view: RunView) -> str | None:
    found = view.result.get("d_int90") or {}
    return crossing_words(found) if found else None


def _zone(view: RunView) -> str | None:
    zones = [zone for zone in view.result.get("zones") or [] if "level" in zone]
    if not zones:
        return None
    return f"{number(zones[0]['ratio'], 3)} at {number(zones[0]['multiple'], 2)} × Glorot's radius"


def _predicted(view: RunView) -> str | None:
    found = view.result.get("predicted") or {}
    return number(found["outlier"]) if found.get("outlier") is not None else None


def _drawn(view: RunView) -> str | None:
    found, error = view.result.get("measured") or {}, view.result.get("stderr") or {}
    return with_error(found["top"], error["top"]) if "top" in found and "top" in error else None


QUANTITIES: dict[str, Callable[[RunView], str | None]] = {
    "largest eigenvalue": _largest,
    "lowest eigenvalue": lambda view: None if view.lowest is None else _extreme(view.lowest),
    "eigenpairs converged": _pairs_converged,
    "trace": _trace,
    "Frobenius norm": _frobenius,
    "loss": _plain("loss"),
    "accuracy": _share("accuracy"),
    "held-out loss": _plain("test_loss"),
    "held-out accuracy": _share("test_accuracy"),
    "outliers": _count("outliers"),
    "q_SLSC": _plain("q_slsc", 3),
    "q_SL": _plain("q_sl", 3),
    "q_DL": _plain("q_dl", 3),
    "share of G0 in Tr G": _share("share_g0"),
    "d_int90 (95 % interval)": _dimension,
    "highest Tr H/‖H‖_F": _zone,
    "predicted outliers": _predicted,
    "outliers of the draws": _drawn,
    "parameters": lambda view: view.described_parameters,
    "samples": _count("samples"),
    "classes": _count("classes"),
    "passes over the data": _count("passes"),
    "seconds": _plain("wall_s", 3),
}
