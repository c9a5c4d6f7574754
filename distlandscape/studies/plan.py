"""``plan``: what a study consists of is timed in small, and a cost model says what the whole will take."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from distlandscape.config import RunConfig
from distlandscape.errors import InputError
from distlandscape.studies import theory
from distlandscape.studies.context import build_objective
from distlandscape.studies.costs import Costs, Plan
from distlandscape.studies.probe import measure
from distlandscape.studies.runner import (
    STUDIES,
    SWEEPS,
    THEORY,
    checkpoints_expected,
    main_operator,
    resolve,
    single_passes,
)
from distlandscape.studies.stores import imported
from distlandscape.studies.sweep_costs import SweepCosts, SweepPlan
from distlandscape.studies.sweep_plan import sweep_costs
from distlandscape.studies.tuning import tuned


def plan_study(
    study: str, config: RunConfig, counts: Sequence[int], network_gbit: float = 10.0
) -> tuple[Costs | SweepCosts, Sequence[Plan | SweepPlan], float]:
    """Measure in small, and expect what so many workers will take; (costs, a plan a count, passes).

    A sweep has no passes, 0. Cost: the data are read; of a study of passes five products on one block or, where
    that is fast, on more; of a sweep some steps of each kind of training and products of a point, of theory a draw.

    Raises:
        InputError: wrong configuration, or a count below 1.
    """
    if not counts or min(counts) < 1:
        raise InputError("a plan needs numbers of workers of at least 1, for example 1,2,4,8; correct --counts")
    if not network_gbit > 0:
        raise InputError(f"--network-gbit {network_gbit} must be above 0; give the speed of a machine's network")
    config = resolve(config, study)
    assert config.runtime.threads is not None, "resolve fills it in"
    torch.set_num_threads(config.runtime.threads)
    if study not in STUDIES:
        sweep = _sweep(study, config)
        return sweep, [sweep.plan(count) for count in counts], 0.0
    objective = build_objective(config)
    STUDIES[study].check(config, objective)
    config, _ = tuned(config, objective, main_operator(study, config, objective))
    costs = measure(objective, config, network_gbit)
    passes = single_passes(study, config, checkpoints_expected(study, config))
    return costs, [costs.plan(count, passes) for count in counts], passes


def _sweep(study: str, config: RunConfig) -> SweepCosts:
    if study == THEORY:
        theory.check(config)
        return sweep_costs(study, config)
    with tempfile.TemporaryDirectory(prefix="dl-plan-") as folder, imported(config, Path(folder), study) as stores:
        objective = build_objective(config, stores.measured, stores.other)
        SWEEPS[study].check(config, objective)
        return sweep_costs(study, config, objective, stores.other)
