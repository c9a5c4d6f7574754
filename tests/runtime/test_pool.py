"""The pool on a real Ray: the same bits for every number of workers, whatever happens to them."""

import os
import signal
import time

import numpy as np
import pytest
import torch

from distlandscape.errors import InputError, WorkerFailure
from distlandscape.objective import Objective
from distlandscape.runtime import Fisher, GaussNewton, Hessian, LocalRunner, Pool, Residual, gradient, pool
from tests.runtime import block_functions

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@pytest.fixture
def local():
    return LocalRunner(threads=1)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_same_bits_for_any_number_of_workers(objective, local, workers):
    V_KP = torch.randn(3, objective.parameters, generator=torch.Generator().manual_seed(0))
    with Pool(workers, cpus_per_worker=0.5, threads=1) as workers_pool:
        for operator in (Hessian, GaussNewton):
            expected = operator(objective, local).apply(V_KP)
            assert torch.equal(operator(objective, workers_pool).apply(V_KP), expected)
        assert torch.equal(gradient(objective, workers_pool), gradient(objective, local))


def test_same_bits_where_the_statistics_and_the_index_of_a_sample_count():
    """A statistics batch travels with the objective; labels are drawn by the index of the sample."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((83, 1, 4, 4)), rng.integers(0, 3, 83)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(12, 3)
    )
    objective = Objective(net, (x, y), norm="batch", norm_samples=20, weight_decay=0.1)
    v = torch.ones(objective.parameters)
    local = LocalRunner(threads=1)
    with Pool(3, cpus_per_worker=0.5, threads=1) as workers_pool:
        for kind, options in ((Hessian, {}), (Residual, {}), (Fisher, {"labels": "sampled", "seed": 4})):
            assert torch.equal(kind(objective, workers_pool, **options) @ v, kind(objective, local, **options) @ v)


def test_every_sample_counts_once(objective):
    with Pool(3, cpus_per_worker=0.5, micro_batch=7) as workers_pool:
        (total,) = workers_pool.map_blocks(objective, block_functions.count_samples)
    assert total == objective.samples


def test_worker_killed_between_passes(objective, local):
    events = []
    expected = gradient(objective, local)
    with Pool(2, threads=1, on_event=events.append) as workers_pool:
        assert torch.equal(gradient(objective, workers_pool), expected)
        os.kill(workers_pool.pids[1], signal.SIGKILL)
        assert torch.equal(gradient(objective, workers_pool), expected)
    assert len(events) == 1
    assert "blocks 2–3" in events[0]


@pytest.mark.parametrize("function", [block_functions.die_once, block_functions.hang_once])
def test_worker_lost_in_a_product(objective, local, function, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "QUIET_SECONDS", 1.0)
    monkeypatch.setattr(pool, "PING_SECONDS", 6.0)
    events = []
    (expected,) = local.map_blocks(objective, block_functions.column_sums)
    with Pool(2, threads=1, on_event=events.append) as workers_pool:
        before = workers_pool.pids
        began = time.monotonic()
        (total,) = workers_pool.map_blocks(objective, function, (str(tmp_path / "flag"),))
        assert time.monotonic() - began < 60
        assert len(set(before) & set(workers_pool.pids)) == 1
    assert np.array_equal(total, expected)
    assert any("was lost" in event for event in events)


def test_blocks_that_kill_every_worker_are_named(objective):
    with (
        Pool(1, threads=1, on_event=lambda text: None) as workers_pool,
        pytest.raises(WorkerFailure, match=r"4 workers died .* on blocks 0–3 of 4"),
    ):
        workers_pool.map_blocks(objective, block_functions.always_die)


def test_an_error_in_a_worker_surfaces_as_itself(objective):
    with Pool(1) as workers_pool:
        with pytest.raises(ArithmeticError, match="refuses"):
            workers_pool.map_blocks(objective, block_functions.refuse)
        assert workers_pool.map_blocks(objective, block_functions.count_samples)[0] == objective.samples


def test_demand_that_cannot_be_met_names_what_is_free(monkeypatch):
    monkeypatch.setattr(pool, "START_SECONDS", 1.0)
    with pytest.raises(WorkerFailure, match=r"1 of 1 workers did not start .*'num_cpus': 500.* free \{.*CPU"):
        Pool(1, cpus_per_worker=500).__enter__()


BAD_SIZES = [
    {"workers": 0},
    {"workers": -1},
    {"transport": "pigeon"},
    {"cpus_per_worker": 0},
    {"gpus_per_worker": -1},
    {"threads": 0},
    {"micro_batch": 0},
]


@pytest.mark.parametrize("options", BAD_SIZES, ids=str)
def test_bad_sizes_are_refused_before_anything_starts(options):
    with pytest.raises(InputError):
        Pool(**options)


def test_tasks_come_back_in_order_from_all_workers():
    told = []
    with Pool(3, cpus_per_worker=0.5) as workers_pool:
        results = workers_pool.map_tasks(block_functions.square, range(20), lambda i, result: told.append((i, result)))
        pids = set(workers_pool.map_tasks(block_functions.pid_of, range(30)))
        assert workers_pool.map_tasks(block_functions.square, []) == []
        assert pids <= set(workers_pool.pids)
    assert results == [i * i for i in range(20)] == LocalRunner().map_tasks(block_functions.square, range(20))
    assert sorted(told) == list(enumerate(results))


def test_a_task_whose_worker_died_is_done_again(tmp_path):
    events = []
    items = [(i, str(tmp_path / "flag")) for i in range(8)]
    with Pool(2, cpus_per_worker=0.5, on_event=events.append) as workers_pool:
        assert workers_pool.map_tasks(block_functions.die_once_at_three, items) == [10 * i for i in range(8)]
    assert len(events) == 1
    assert "task 4 of 8 are done again" in events[0]


def test_a_task_that_kills_every_worker_is_named():
    named = pytest.raises(WorkerFailure, match="4 workers died one after another on task 4 of 6")
    with Pool(1, cpus_per_worker=0.5, on_event=lambda text: None) as workers_pool, named:
        workers_pool.map_tasks(block_functions.die_at_three, range(6))


def test_an_error_in_a_task_is_raised_and_the_pool_goes_on():
    with Pool(2, cpus_per_worker=0.5) as workers_pool:
        with pytest.raises(ArithmeticError, match="three is refused"):
            workers_pool.map_tasks(block_functions.refuse_three, range(6))
        assert workers_pool.map_tasks(block_functions.square, range(5)) == [0, 1, 4, 9, 16]
