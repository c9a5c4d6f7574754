"""The tables of the hyperplane study: a row a training, a row a dimension, a row a point of a learning curve."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from distlandscape.config import RunConfig
from distlandscape.config.studies import HyperplaneConfig
from distlandscape.record.run import Run
from distlandscape.studies.chance import Chance
from distlandscape.studies.hyperplane_task import FULL
from distlandscape.studies.intrinsic import mean_interval, wilson

SHARE = 0.9  # of the baseline's accuracy, which defines d_int90


def baseline_of(outcomes: list[dict[str, Any]], seeds: int) -> list[float]:
    """Accuracies in full space, in the order of seeds; none before all are done."""
    members = [member for outcome in outcomes if outcome["kind"] == FULL for member in outcome["members"]]
    if len(members) < seeds:
        return []
    return [member["accuracy"] for member in sorted(members, key=lambda member: int(member["seed"]))]


def accuracies_of(outcomes: list[dict[str, Any]], seeds: int) -> dict[tuple[str, int], dict[int, list[float]]]:
    """Accuracies by series and dimension, in the order of seeds; dimensions whose trainings are all done."""
    found: dict[tuple[str, int], dict[int, list[float]]] = {}
    for kind, burn_in, dim, members in _groups(outcomes, seeds):
        found.setdefault((kind, burn_in), {})[dim] = [member["accuracy"] for member in members]
    return found


def write_tables(run: Run, config: RunConfig, chance: Chance, outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Store ``trainings``, ``dimensions`` and ``curves``; returns the rows of ``dimensions``."""
    trainings, curves = [], []
    for outcome in sorted(outcomes, key=_place):
        where = {"kind": outcome["kind"], "burn_in": outcome["burn_in"], "dimension": outcome["dim"]}
        for member in outcome["members"]:
            row = {name: member[name] for name in ("seed", "status", "steps", "loss", "accuracy", "distance")}
            cost = {"seconds": outcome["seconds"] / len(outcome["members"]), "made": outcome["made"]}
            trainings.append({**where, **row, **cost, "pack": outcome["key"]})
            for step, batch_loss, loss, accuracy in member["curve"]:
                numbers = {"batch_loss": batch_loss, "loss": loss, "accuracy": accuracy}
                curves.append({**where, "seed": member["seed"], "step": step, **numbers})
    rows = _dimensions(config, chance, outcomes)
    for name, table in (("trainings", trainings), ("curves", curves), ("dimensions", rows)):
        if table:
            run.write_table(name, pa.Table.from_pylist(table))
    return rows


def threshold_of(baseline: list[float], chance: Chance) -> float | None:
    """The accuracy that defines d_int90; None without a baseline, or where its share of it is nothing to reach."""
    if not baseline or chance.why_nothing_to_reach(baseline, SHARE):
        return None
    return SHARE * sum(baseline) / len(baseline)


def target_of(h: HyperplaneConfig, chance: Chance) -> float | None:
    """The absolute accuracy to reach; None without one, or where a constant answer reaches it."""
    return h.target_accuracy if h.target_accuracy is not None and h.target_accuracy > chance.share else None


def _dimensions(config: RunConfig, chance: Chance, outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a series and dimension, the full space among them."""
    h = config.hyperplane
    baseline = baseline_of(outcomes, h.seeds)
    threshold = threshold_of(baseline, chance) if h.target_accuracy is None else target_of(h, chance)
    rows = []
    made = {(o["kind"], o["burn_in"], o["dim"]): {"made": o["made"], "why": o.get("why", "")} for o in outcomes}
    for kind, burn_in, dim, members in _groups(outcomes, h.seeds):
        accuracy = mean_interval([member["accuracy"] for member in members])
        finite = [member["loss"] for member in members if member["loss"] is not None]
        loss = mean_interval(finite) if len(finite) == len(members) else (None, None, None)
        row = {"kind": kind, "burn_in": burn_in, "dimension": dim, "trainings": len(members)}
        row |= made[kind, burn_in, dim]
        for name, triple in (("accuracy", accuracy), ("loss", loss)):
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), triple, strict=True))
        row["diverged"] = sum(member["status"] == "diverged" for member in members)
        if threshold is not None or h.target_loss is not None:
            won = sum(_succeeds(member, threshold, h.target_loss) for member in members)
            low, high = wilson(won, len(members))
            row |= {"success": won / len(members), "success_low": low, "success_high": high}
        rows.append(row)
    return rows


def _succeeds(member: dict[str, Any], threshold: float | None, target_loss: float | None) -> bool:
    """Loss at most its target where there is one, else accuracy at least the threshold."""
    if target_loss is not None:
        return member["loss"] is not None and bool(member["loss"] <= target_loss)
    assert threshold is not None, "success is of a loss or of an accuracy"
    return bool(member["accuracy"] >= threshold)


def _groups(outcomes: list[dict[str, Any]], seeds: int) -> list[tuple[str, int, int, list[dict[str, Any]]]]:
    """Members by kind, burn-in and dimension, ascending, where all seeds are there."""
    found: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for outcome in sorted(outcomes, key=_place):
        found.setdefault((outcome["kind"], outcome["burn_in"], outcome["dim"]), []).extend(outcome["members"])
    return [(*where, members) for where, members in found.items() if len(members) == seeds]


def _place(outcome: dict[str, Any]) -> tuple[str, int, int, int]:
    return outcome["kind"], outcome["burn_in"], outcome["dim"], outcome["members"][0]["seed"]
