"""Verdicts: what Fort & Ganguli (2019) claim of every network, held against one; criteria: docs/emergence.md.

A claim is judged at every checkpoint. It holds where it holds at three quarters of those that can tell; where fewer
than half can tell, nothing is said. The numbers shown are those of the last checkpoint with the verdict's own answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot tell"
TOLERANCE = 0.25  # of the predicted value: agreement with the model
WEAK = 0.5  # ‖R‖_F/‖H‖_F up to which H ≈ G
MUCH = 5.0  # times |q_DL| that q_SL has to be for the paper's "≫"
MOST = 0.5  # of |g|² that has to lie in the top subspace
TURN = 1.2  # factor by which λ_max has to rise, and to fall
POSITIVE = 1.0  # Tr H/‖H‖_F above which curvature leans to the positive; chance gives 0 ± √(2/P)
SHARE, TELLING = 0.75, 0.5  # of the checkpoints
LEAST = 4  # checkpoints that can show a rise and a fall

Row = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One line of the table.

    Attributes:
        claim: in words.
        quantity: what the numbers are.
        measured: on the network; None where it could not be.
        predicted: by the random model with the fitted scales, or the bound that the claim sets.
        error: standard error of ``measured``, or scatter of the model's draws.
        verdict: "holds", "does not hold" or "cannot tell", of the claim with what the model says of it.
        observed: the same of the network alone, whatever the model says.
        why: what decided, in words.
        step: of training, where the numbers are from.
        along: the verdict at each checkpoint; empty where the claim is about all of them together.
        observed_along: likewise, of the network alone.
    """

    claim: str
    quantity: str
    measured: float | None
    predicted: float | None
    error: float | None
    verdict: str
    observed: str
    why: str
    step: int
    along: list[str]
    observed_along: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain mapping for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Judgement:
    """A claim at one checkpoint: of the network alone, and whether the model explains it (None: it has no say)."""

    observed: str
    explained: str | None
    measured: float
    predicted: float
    error: float
    why: str

    @property
    def verdict(self) -> str:
        """Both together."""
        return _both(self.observed, self.explained or self.observed)


def agrees(measured: float, predicted: float, error: float, tolerance: float = TOLERANCE) -> str:
    """Whether two numbers agree within a share of the predicted one, given the error of their difference.

    An error larger than the tolerance, or a deviation within two errors of it, leaves it open.
    """
    if not all(map(math.isfinite, (measured, predicted, error))):
        return UNKNOWN
    allowed, deviation = tolerance * abs(predicted), abs(measured - predicted)
    if error > allowed:
        return UNKNOWN
    if deviation <= allowed:
        return HOLDS
    return FAILS if deviation - 2 * error > allowed else UNKNOWN


def exceeds(measured: float, bound: float, error: float) -> str:
    """Whether a number is at least its bound; within two errors of it that is open."""
    if not all(map(math.isfinite, (measured, bound, error))):
        return UNKNOWN
    if abs(measured - bound) < 2 * error:
        return UNKNOWN
    return HOLDS if measured >= bound else FAILS


def verdicts(rows: Sequence[Row], classes: int) -> list[Verdict]:
    """The seven verdicts from the rows of the table ``checkpoints``, in the order of steps; at least one row."""
    return [
        _overall("logit curvature is weak: H ≈ G", "‖R‖_F/‖H‖_F, at most", rows, [weak_curvature(r) for r in rows]),
        _overall("logit gradients cluster", "q_SL, at least", rows, [clustered(r) for r in rows]),
        _frozen(rows),
        _overall("C − 1 or C outliers", "outliers", rows, [outliers(r, classes) for r in rows]),
        _overall("the gradient is confined", "|V g|²/|g|², k = C − 1", rows, [confined(r) for r in rows]),
        rise_and_fall(rows),
        _overall("positive curvature: Goldilocks zone", "Tr H/‖H‖_F", rows, [positive(r) for r in rows]),
    ]


def weak_curvature(row: Row) -> Judgement:
    """Input (i): the residual term is small beside the Hessian, in Frobenius norm."""
    measured, error = row["residual_share"], row["residual_share_stderr"]
    verdict = exceeds(-measured, -WEAK, error)
    return Judgement(verdict, None, measured, WEAK, error, f"‖R‖_F is {_percent(measured)} of ‖H‖_F")


def clustered(row: Row) -> Judgement:
    """Input (ii): q_SLSC ≥ q_SL ≥ 5|q_DL|, and q_SL is enough to lift outliers out of the model's bulk."""
    q, error = row["q_sl"], math.hypot(row["q_sl_error"], MUCH * row["q_dl_error"])
    bound = max(MUCH * abs(row["q_dl"]), row["model_q_threshold"])
    verdict = exceeds(q, bound, error)
    why = f"q_SL is {q:.3g} and q_DL {row['q_dl']:.2g}; outliers need {row['model_q_threshold']:.2g}"
    if verdict == HOLDS and row["q_slsc"] < q - 2 * row["q_slsc_error"]:
        return Judgement(FAILS, None, q, bound, error, f"q_SLSC, {row['q_slsc']:.3g}, is below q_SL, {q:.3g}")
    return Judgement(verdict, None, q, bound, error, why)


def frozen(row: Row) -> Judgement:
    """Input (iii): 1 − E Σp², what freezing leaves of G, is that of independent Gaussian logits of the measured σ_z.

    Whether σ_z grows is seen from all checkpoints together.
    """
    measured, predicted, error = 1 - row["sum_p2"], 1 - row["model_sum_p2"], row["sum_p2_error"]
    why = f"1 − E Σp² is {measured:.3g}; Gaussian logits with σ_z = {row['sigma_z']:.3g} would give {predicted:.3g}"
    return Judgement(HOLDS, agrees(measured, predicted, error), measured, predicted, error, why)


def outliers(row: Row, classes: int) -> Judgement:
    """Property 1: the gap comes after C − 1 or C eigenvalues, where the model has outliers, too."""
    measured, predicted = float(row["outliers"]), float(classes - 1 if row["model_outlier"] is not None else 0)
    if not row["converged"]:
        return Judgement(UNKNOWN, None, measured, predicted, 0.0, "not all leading eigenvalues have converged")
    there = HOLDS if measured in (classes - 1, classes) else FAILS
    told = f"the largest gap is after {measured:.0f}" if measured else "there is no gap"
    model = f"the model has {predicted:.0f} outliers"
    return Judgement(there, HOLDS if predicted else FAILS, measured, predicted, 0.0, f"{told}; {model}")


def confined(row: Row) -> Judgement:
    """Property 2: most of the gradient lies in the top C − 1 eigenvectors, no less than the model says."""
    f, predicted, error = row["confinement"], row["model_confinement"], row["model_confinement_sd"]
    if f is None or not math.isfinite(f):
        return Judgement(
            UNKNOWN, None, math.nan, predicted, error, "too few eigenvectors converged, or the gradient is 0"
        )
    null = f"sampled labels alone would give {row['confinement_null']:.2g}"
    most, short = f >= MOST, f < predicted - 2 * error
    than = ", less than half" if not most else ", less than the model's" if short else ""
    observed, explained = (HOLDS if most else FAILS), (FAILS if short else HOLDS)
    return Judgement(observed, explained, f, predicted, error, f"{_percent(f)} of |g|²{than}; {null}")


def positive(row: Row) -> Judgement:
    """Property 4: Tr H/‖H‖_F is large, and as large as in the model."""
    measured, predicted, error = row["ratio"], row["model_ratio"], row["ratio_stderr"]
    large = exceeds(measured, POSITIVE, error)
    close = agrees(measured, predicted, error)
    why = f"{measured:.3g}, in the model {predicted:.3g}; {_percent(row['positive'])} of a random plane curves upwards"
    return Judgement(large, close, measured, predicted, error, why)


def rise_and_fall(rows: Sequence[Row]) -> Verdict:
    """Property 3: λ_max rises, then falls, and at its peak it is the model's."""
    values = [float(r["lambda_max"]) for r in rows]
    peak = max(range(len(values)), key=values.__getitem__)
    top = rows[peak]
    low, value, last = values[0], values[peak], values[-1]
    predicted, error = top["model_lambda_max"], math.hypot(top["lambda_max_residual"], top["model_lambda_max_sd"])
    explained = agrees(value, predicted, error)
    if len(rows) < LEAST:
        observed, why = UNKNOWN, f"{len(rows)} checkpoints cannot show a rise and a fall; take {LEAST} or more"
    elif value < TURN * low or value < TURN * last:
        observed = FAILS
        why = (
            f"from {low:.3g} at the first checkpoint to {value:.3g} at step {top['step']:,} and {last:.3g} at the last"
        )
    else:
        observed = HOLDS
        why = f"rises by {_factor(value, low)}, falls by {_factor(value, last)}; the model has {predicted:.3g} there"
    verdict = UNKNOWN if observed == UNKNOWN else _both(observed, explained)
    claim, quantity, step = "λ_max rises, then falls", "λ_max at its peak", int(top["step"])
    return Verdict(claim, quantity, value, predicted, error, verdict, observed, why, step, [], [])


def _frozen(rows: Sequence[Row]) -> Verdict:
    """Beside its value along the way, σ_z has to grow."""
    claim = "the softmax freezes"
    quantity = "1 − E Σp²"
    found = _overall(claim, quantity, rows, [frozen(r) for r in rows])
    first, last = rows[0]["sigma_z"], rows[-1]["sigma_z"]
    if len(rows) == 1 or last > first:
        return found
    why = f"σ_z does not grow: {first:.3g} at the first checkpoint, {last:.3g} at the last"
    return replace(found, verdict=FAILS, observed=FAILS, why=why)


def _overall(claim: str, quantity: str, rows: Sequence[Row], judgements: Sequence[Judgement]) -> Verdict:
    along, observed_along = [j.verdict for j in judgements], [j.observed for j in judgements]
    verdict, observed, good = _most(along), _most(observed_along), along.count(HOLDS)
    at = max((i for i, word in enumerate(along) if word == verdict), default=len(along) - 1)
    one, count = judgements[at], ""
    if len(judgements) > 1:
        at_last = ", the last among them" if 0 < good < len(judgements) and judgements[-1].verdict == HOLDS else ""
        count = f"; holds at {good} of {len(judgements)} checkpoints{at_last}"
    measured, predicted, error = (_number(v) for v in (one.measured, one.predicted, one.error))
    why, step = one.why + count, int(rows[at]["step"])
    return Verdict(claim, quantity, measured, predicted, error, verdict, observed, why, step, along, observed_along)


def _most(words: Sequence[str]) -> str:
    """What three quarters of the checkpoints that can tell say; nothing where fewer than half can."""
    telling = [word for word in words if word != UNKNOWN]
    if not telling or len(telling) < TELLING * len(words):
        return UNKNOWN
    return HOLDS if telling.count(HOLDS) >= SHARE * len(telling) else FAILS


def _both(one: str, other: str) -> str:
    if FAILS in (one, other):
        return FAILS
    return UNKNOWN if UNKNOWN in (one, other) else HOLDS


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _factor(high: float, low: float) -> str:
    return f"{high / low:.3g}×" if low > 0 else "more than its own size"
