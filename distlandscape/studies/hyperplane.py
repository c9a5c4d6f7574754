"""The hyperplane study: how well training does in random planes of dimension d, and which d is enough."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from distlandscape.config import RunConfig
from distlandscape.data import BlockStore
from distlandscape.errors import InputError, TrainingError
from distlandscape.objective import Objective
from distlandscape.record.run import Run
from distlandscape.runtime.runner import Runner
from distlandscape.studies.chance import Chance
from distlandscape.studies.hyperplane_planes import TRAJECTORY, check_given, trajectory_steps
from distlandscape.studies.hyperplane_tables import (
    SHARE,
    accuracies_of,
    baseline_of,
    target_of,
    threshold_of,
    write_tables,
)
from distlandscape.studies.hyperplane_task import FULL, PackTask, evaluated_labels, perform, require_training_samples
from distlandscape.studies.intrinsic import Crossing, crossing, next_dims
from distlandscape.studies.progress import Progress
from distlandscape.studies.provenance import described_model
from distlandscape.studies.sweep import Sweep
from distlandscape.training.projections import choose_kind

NOWHERE = Crossing(None, None, None, None, None)
GRID = (10, 30, 100, 300, 1000, 3000, 10_000)
Series = tuple[str, int]  # kind and burn-in


def check(config: RunConfig, objective: Objective) -> None:
    """Raise InputError for a sweep that cannot be meant."""
    h, t, P = config.hyperplane, config.train, objective.parameters
    if not t.steps:
        raise InputError("train.steps is 0, which leaves nothing to train; set train.steps to 1 or more")
    if config.data.split == "test":
        raise InputError("data.split=test is for measuring: trainings use the train split and test on the other")
    if objective.data.block(0)[1].ndim != 1 or objective.data.block(0)[1].dtype.kind == "f":
        raise InputError("the hyperplane study compares accuracies, so it needs class labels; give data with labels")
    for dim in h.dims or ():
        choose_kind(P, dim)
    if max(h.burn_in) > t.steps:
        raise InputError(f"hyperplane.burn_in={list(h.burn_in)} goes beyond train.steps={t.steps}; lower it")
    for name, values in (("kinds", h.kinds), ("burn_in", h.burn_in), ("dims", h.dims or ())):
        if len(set(values)) < len(values):
            raise InputError(f"hyperplane.{name}={list(values)} names one twice; leave the repetition out")
    if 0 < (h.steps or t.steps) < t.warmup_steps:
        raise InputError(f"train.warmup_steps={t.warmup_steps} is more than hyperplane.steps={h.steps}; lower it")
    if h.stop_at_target and h.target_accuracy is None:
        raise InputError("hyperplane.stop_at_target needs a hyperplane.target_accuracy to stop at; give one")
    check_given(config, objective)
    least = min(h.pack, h.seeds)
    if h.budget_trainings is not None and h.budget_trainings < least:
        raise InputError(
            f"hyperplane.budget_trainings={h.budget_trainings} allows no training: a pack has {least}; raise it"
        )
    if h.budget_trainings is not None and h.budget_trainings < h.seeds + least:
        raise InputError(
            f"hyperplane.budget_trainings={h.budget_trainings} allows no comparison: the full space takes {h.seeds} and"
            f" the first plane {least}; raise it"
        )
    require_training_samples(objective.samples, "hyperplane.hold_out", h.hold_out)


def coarse_grid(config: RunConfig, parameters: int, series: Series) -> list[int]:
    """Dimensions that are tried first, ascending; by themselves not more than a trajectory has moves."""
    kind, burn_in = series
    most = len(trajectory_steps(config, burn_in, parameters)) - 1 if kind == TRAJECTORY else parameters
    return sorted(config.hyperplane.dims or {d for d in GRID if d < most} or {most})


def measure(
    run: Run,
    config: RunConfig,
    objective: Objective,
    test: BlockStore | None,
    runner: Runner,
    progress: Progress,
    push: Callable[[], object],
) -> dict[str, Any]:
    """Train, refine around the crossing, summarise; returns what becomes result.json.

    Trainings: seeds × (1 + series × (grid + 2·rounds)) at most; where there is a target, 4·rounds.
    """
    h, P = config.hyperplane, objective.parameters
    series = [(kind, burn_in) for kind in h.kinds for burn_in in h.burn_in]
    dims = {one: coarse_grid(config, P, one) for one in series}
    chance = Chance.of(evaluated_labels(objective.data, test, h))
    tables = functools.partial(write_tables, run, config, chance)
    sweep = Sweep(run, runner, perform, progress, h.budget_trainings, h.budget_minutes, tables)
    packs = Packs(config, objective.data, test, P)
    aims = 1 if h.target_accuracy is None else 2
    most = h.seeds * (1 + sum(len(grid) + 2 * aims * h.rounds for grid in dims.values()))
    progress.plan(most - sum(len(outcome["members"]) for outcome in sweep.outcomes))
    progress.say(f"{P:,} parameters; at most {most} trainings of {h.steps or config.train.steps} steps are expected")
    found: dict[Series, list[Crossing]] = {}
    for _ in range(1 + h.rounds):
        sweep.complete([*packs.full(), *(p for one in series for d in dims[one] for p in packs.of(one, d))])
        rows = tables(sweep.outcomes)
        push()
        found = {one: _crossings(config, chance, sweep.outcomes, one) for one in series}
        more = {one: sorted({d for c in found[one] for d in next_dims(c, dims[one])}) for one in series}
        if sweep.exhausted or not any(more.values()):
            break
        # Fewer than were planned, where a bracket is tight or two of them overlap.
        progress.tick(0, planned=h.seeds * (2 * aims * len(series) - sum(map(len, more.values()))))
        dims = {one: sorted([*dims[one], *more[one]]) for one in series}
    baseline = baseline_of(sweep.outcomes, h.seeds)
    if not baseline:
        raise TrainingError("the budget ended before the full space was trained, so nothing can be compared; raise it")
    level, nothing = threshold_of(baseline, chance), _nothing_to_reach(chance, baseline, h.evaluate_on)
    target, no_target = target_of(h, chance), _nothing_to_aim_at(config, chance)
    held_out = "the test split" if test is not None else f"the last {h.hold_out:.0%} of the samples"
    return {
        "status": _status(found[series[0]][0], sweep.exhausted, nothing, no_target, max(dims[series[0]]), P),
        "d_int90": _told(found[series[0]][0], baseline, level),
        "target": None if h.target_accuracy is None else _told(found[series[0]][-1], baseline, target),
        "series": [
            {
                "kind": kind,
                "burn_in": burn_in,
                "d_int90": _told(found[kind, burn_in][0], baseline, level),
                "target": None if h.target_accuracy is None else _told(found[kind, burn_in][-1], baseline, target),
            }
            for kind, burn_in in series
        ],
        "dimensions": rows,
        "trainings": sum(len(outcome["members"]) for outcome in sweep.outcomes),
        "budget_ended": sweep.exhausted,
        "planes": "one for all seeds of a dimension" if h.shared_plane else "one a seed",
        "held_out": held_out,
        "evaluated_on": held_out if h.evaluate_on == "test" else "the samples trained on",
        "chance": {"accuracy": chance.share, "samples": chance.samples, "stderr": chance.error(baseline)},
        "nothing_to_reach": nothing or None,
        "parameters": P,
        "samples": objective.samples,
        "classes": objective.outputs,
        "data": objective.data.description,
        "model": described_model(config),
        "metrics": {
            f"d_int90/{kind}-{burn_in}": found[kind, burn_in][0].value
            for kind, burn_in in series
            if found[kind, burn_in][0].value is not None
        },
    }


class Packs:
    """The packs of a dimension: its seeds in their order, ``pack`` at a time."""

    def __init__(self, config: RunConfig, data: BlockStore, test: BlockStore | None, parameters: int) -> None:
        self._config, self._parameters = config, parameters
        self._stores = tuple(None if store is None else (str(store.path), store.digest) for store in (data, test))

    def full(self) -> list[PackTask]:
        """The baseline."""
        return self._packs(FULL, 0, self._parameters)

    def of(self, series: Series, dim: int) -> list[PackTask]:
        """One dimension."""
        return self._packs(*series, dim)

    def _packs(self, kind: str, burn_in: int, dim: int) -> list[PackTask]:
        h = self._config.hyperplane
        train, test = self._stores
        assert train is not None, "the data that are trained on are there"
        seeds = range(h.seed, h.seed + h.seeds)
        cut = [tuple(seeds[start : start + h.pack]) for start in range(0, h.seeds, h.pack)]
        return [PackTask(self._config, train, test, kind, burn_in, dim, some) for some in cut]


def _crossings(config: RunConfig, chance: Chance, outcomes: list[dict[str, Any]], series: Series) -> list[Crossing]:
    """Of 90 % of the baseline and of the absolute target where there is one, each where it is something to reach."""
    baseline, target = baseline_of(outcomes, config.hyperplane.seeds), target_of(config.hyperplane, chance)
    accuracies = accuracies_of(outcomes, config.hyperplane.seeds).get(series)
    if not accuracies or not baseline:
        return [NOWHERE]
    own = NOWHERE if threshold_of(baseline, chance) is None else crossing(accuracies, baseline, SHARE)
    if config.hyperplane.target_accuracy is None:
        return [own]
    return [own, NOWHERE if target is None else crossing(accuracies, None, target)]


def _told(found: Crossing, baseline: list[float], threshold: float | None) -> dict[str, Any]:
    named = dataclasses.asdict(found)
    return {**{k: named[k] for k in ("value", "low", "high")}, "baseline": _mean(baseline), "threshold": threshold} | {
        "below": found.below,
        "at": found.at,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _nothing_to_reach(chance: Chance, baseline: list[float], evaluated_on: str) -> str:
    """Why there is no d_int90 to look for, with what to do; empty where there is one."""
    why = chance.why_nothing_to_reach(baseline, SHARE)
    if not why:
        return ""
    if chance.beaten_by(baseline):
        return f"{why}; set hyperplane.target_accuracy above that"
    more = "raise train.steps or change train.learning_rate"
    if evaluated_on == "train":
        return f"{why}; {more}"
    learnt = "to ask how well they are learnt, set hyperplane.evaluate_on=train"
    return f"{why}; if the labels can be predicted, {more}; {learnt}"


def _nothing_to_aim_at(config: RunConfig, chance: Chance) -> str:
    """Why the target has no dimension, with what to do; empty where it has one, or there is no target."""
    wanted = config.hyperplane.target_accuracy
    if wanted is None or target_of(config.hyperplane, chance) is not None:
        return ""
    return (
        f"hyperplane.target_accuracy={wanted:g} is no more than the {100 * chance.share:.1f} % of a constant answer, so"
        " every dimension would reach it: set it above that"
    )


def _status(found: Crossing, exhausted: bool, nothing: str, no_target: str, largest: int, parameters: int) -> str:
    own = _own_status(found, exhausted, nothing, largest, parameters)
    if not no_target:
        return own
    return no_target if own == "done" else f"{own}; {no_target}"


def _own_status(found: Crossing, exhausted: bool, nothing: str, largest: int, parameters: int) -> str:
    budget = "; the budget ended first" if exhausted else ""
    if nothing:
        return f"nothing to reach{budget}: {nothing}"
    if found.at is None:
        larger = "add larger hyperplane.dims, or " if largest < parameters else ""
        return f"no dimension reached 90 % of the baseline{budget}: {larger}train for longer (hyperplane.steps)"
    if found.below is None and found.at > 1:
        return f"the smallest dimension already reaches 90 % of the baseline{budget}: add smaller hyperplane.dims"
    return "done"
