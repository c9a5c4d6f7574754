"""The cost model obeys what must hold of it, and its probe agrees with a pass that is really run."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlandscape.cli.main import main
from distlandscape.config import load_config
from distlandscape.curvature import hessian_products
from distlandscape.errors import OutOfMemory
from distlandscape.models import save_weights
from distlandscape.runtime import LocalRunner
from distlandscape.runtime.tree import shares
from distlandscape.studies import emergence, probe
from distlandscape.studies.context import build_objective
from distlandscape.studies.costs import BASIS, Costs
from distlandscape.studies.expected import say_passes
from distlandscape.studies.plan import plan_study
from distlandscape.studies.probe import measure
from distlandscape.studies.runner import checkpoints_expected, resolve
from tests.benchmarks import simulation

COSTS = Costs(
    parameters=25_557_032,
    blocks=1024,
    block_seconds=2.0,
    sample_bytes=1.9e11,
    vector_bytes=4,
    memory_rate=8e9,
    network_rate=1.25e9,
    local_workers=1,
    transport="store",
)


def test_where_moving_is_free_time_is_that_of_the_largest_share():
    free = replace(COSTS, memory_rate=float("inf"), network_rate=float("inf"))
    for workers in (1, 3, 8, 1000, 1024, 5000):
        largest = -(-1024 // min(workers, 1024))
        assert free.plan(workers, 1).pass_seconds == pytest.approx(2.0 * largest + 0.005 + 0.001 * workers)


def test_bytes_of_the_store_are_a_vector_for_each_worker_and_a_sum_for_each_subtree():
    for workers in (1, 2, 3, 8):
        subtrees = sum(len(share) for share in shares(1024, workers))
        expected = 4 * COSTS.parameters * workers + 8 * COSTS.parameters * subtrees
        assert COSTS.plan(workers, 1).moved_bytes == expected
    assert sum(len(share) for share in shares(1024, 3)) > 3  # powers of two are the cheap numbers


@given(st.sampled_from(["store", "collective"]), st.integers(0, 9), st.floats(1, 1e4))
def test_more_workers_never_hold_more_each_and_time_grows_with_passes(transport, log_workers, passes):
    costs = replace(COSTS, transport=transport)
    few, many = costs.plan(2**log_workers, passes), costs.plan(2 ** (log_workers + 1), passes)
    assert many.worker_bytes < few.worker_bytes
    assert costs.plan(4, 2 * passes).total_seconds == pytest.approx(2 * costs.plan(4, passes).total_seconds)


def test_the_basis_is_in_the_driver_or_shared_out():
    store, shared = COSTS.plan(8, 1), replace(COSTS, transport="collective").plan(8, 1)
    basis = BASIS * 4 * COSTS.parameters
    assert store.driver_bytes - shared.driver_bytes > basis
    assert shared.worker_bytes - store.worker_bytes == pytest.approx(basis / 8)


def test_a_planned_pass_agrees_with_one_that_is_run(monkeypatch):
    """One worker in this process, in turns: the median ratio is within 25 %."""
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.05)  # some of the blocks, as with larger data
    monkeypatch.setattr(probe, "time", SimpleNamespace(perf_counter=time.process_time))  # others may hold the cores
    assignments = ["data.samples=600", "model.options={hidden: [64, 64]}", "train.steps=0", "runtime.workers=1"]
    config = resolve(load_config(None, assignments), "spectrum")
    objective = build_objective(config)
    v_1P = np.ones((1, objective.parameters), np.float32)
    runner, ratios = LocalRunner(1), []
    runner.map_blocks(objective, hessian_products, [v_1P])
    for _ in range(5):
        costs = measure(objective, config)
        seconds = []
        for _ in range(3):
            began = time.process_time()
            runner.map_blocks(objective, hessian_products, [v_1P])
            seconds.append(time.process_time() - began)
        ratios.append(costs.block_seconds * costs.blocks / min(seconds))
    assert 0.75 < np.median(ratios) < 1.25


def test_a_plan_starts_nothing_and_follows_the_configuration():
    config = load_config(None, ["data.samples=100", "train.checkpoints=2", "runtime.transport=collective"])
    costs, plans, passes = plan_study("spectrum", config, [1, 4])
    assert (costs.transport, costs.parameters > 0, len(plans)) == ("collective", True, 2)
    assert [p.workers for p in plans] == [1, 4]
    assert passes == pytest.approx(2 * (30 + 4 * 10) + 80 + 1)
    assert costs.sample_bytes == 100 * (64 * 4 + 8)


@pytest.mark.parametrize("given", [1, 3, 12])
def test_given_checkpoints_are_counted(given, tmp_path, capfd):
    """As many as there are in the folder, whatever ``train.checkpoints`` would be."""
    small = ["data.samples=120", "data.classes=[0, 1, 2]", "model.options={hidden: [4]}"]
    model = build_objective(resolve(load_config(None, small), "emergence")).model
    for step in range(given):
        save_weights(model, tmp_path / f"step-{step:03d}.safetensors")
    words = [word for key in (*small, f"emergence.checkpoints={tmp_path}") for word in ("--set", key)]
    assert main(["plan", "emergence", *words, "--counts", "1,2", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["passes"] == emergence.planned_passes(load_config(None, []), given)
    for plan in told["plans"]:
        assert plan["total_seconds"] >= plan["pass_seconds"] * told["passes"]  # and the driver's own arithmetic


@pytest.mark.parametrize(("keys", "count"), [(["train.steps=0"], 1), (["train.steps=3"], 4), ([], 9)])
def test_trained_checkpoints_are_counted_as_they_are_kept(keys, count):
    """Of a short training there are fewer than ``train.checkpoints`` asks for, and one of none."""
    config = resolve(load_config(None, keys), "emergence")
    assert checkpoints_expected("emergence", config) == count


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_start_is_timed_where_products_will_run(gpus, monkeypatch):
    there, said = [], []
    runner = SimpleNamespace(
        map_tasks=lambda function, items: there.extend(items) or [function(item) for item in items]
    )
    config = resolve(load_config(None, ["data.samples=100", f"runtime.gpus_per_worker={gpus}"]), "spectrum")
    objective = build_objective(config)
    say_passes(config, objective, 30, runner, SimpleNamespace(say=said.append))
    assert there == [(objective, config)] * gpus
    assert re.search(r"100 samples in \d+ blocks; roughly 30 passes over the data: about \d+ s on 2 workers, ", said[0])

    def full(*arguments, **options):
        raise OutOfMemory(8)

    monkeypatch.setattr(probe, "measure", full)  # the run itself halves its micro-batch, and goes on
    say_passes(config, objective, 30, runner, SimpleNamespace(say=said.append))
    assert said[1].endswith("roughly 30 passes over the data")


def test_the_table_of_the_documentation_is_the_model_s():
    text = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert simulation.table() in text
