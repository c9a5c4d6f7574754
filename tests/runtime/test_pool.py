"""The pool on a real Ray: the same bits for every number of workers, whatever happens to them."""

import gc
import os
import re
import signal
import time

import numpy as np
import pytest
import ray
import torch

import distlandscape as dl
from distlandscape.curvature import hessian_products
from distlandscape.errors import InputError, WorkerFailure
from distlandscape.objective import Objective
from distlandscape.runtime import Fisher, GaussNewton, Hessian, LocalRunner, Pool, Residual, crew, dealing, gradient
from tests.runtime import block_functions
from tests.runtime.faults import arm_worker

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def two(ray_session):
    """Two workers, and what is told of them."""
    events = []
    with Pool(2, 0.5, threads=1, on_event=events.append) as pool:
        yield pool, events


@pytest.fixture
def struck(two):
    """The two for tests that kill, stop or starve them; losses are replaced and memory is given back between tests."""
    pool, events = two
    pool._crew.wait(2, 60)
    pool._micro_batch = None
    events.clear()
    return pool, events


def agrees(pool, objective, local):
    """Three vectors through two operators, and the gradient."""
    V_KP = torch.randn(3, objective.parameters, generator=torch.Generator().manual_seed(0))
    for operator in (Hessian, GaussNewton):
        assert torch.equal(operator(objective, pool).apply(V_KP), operator(objective, local).apply(V_KP))
    assert torch.equal(gradient(objective, pool), gradient(objective, local))


def test_three_workers_give_the_same_bits(store, objective, local):
    agrees(store, objective, local)


def test_same_bits_where_the_statistics_and_the_index_of_a_sample_count(store, local):
    """A statistics batch travels with the objective; labels are drawn by the index of the sample."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((83, 1, 4, 4)), rng.integers(0, 3, 83)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(12, 3)
    )
    objective = Objective(net, (x, y), norm="batch", norm_samples=20, weight_decay=0.1)
    v = torch.ones(objective.parameters)
    for kind, options in ((Hessian, {}), (Residual, {}), (Fisher, {"labels": "sampled", "seed": 4})):
        assert torch.equal(kind(objective, store, **options) @ v, kind(objective, local, **options) @ v)


def test_an_error_in_a_worker_surfaces_as_itself(store, objective):
    with pytest.raises(ArithmeticError, match="refuses"):
        store.map_blocks(objective, block_functions.refuse)
    assert store.map_blocks(objective, block_functions.count_samples)[0] == objective.samples


def test_killed_between_passes_and_in_a_product(objective, local, struck, tmp_path):
    pool, events = struck
    agrees(pool, objective, local)
    before = pool.pids
    os.kill(before[1], signal.SIGKILL)
    agrees(pool, objective, local)
    assert "blocks 2–3 of 4 (samples 41–82) are done again" in events[0]
    pool._crew.wait(2, 60)
    arm_worker(pool, 1, "product", "kill", 2, str(tmp_path / "flag"))
    agrees(pool, objective, local)
    pool._crew.wait(2, 60)
    agrees(pool, objective, local)
    assert len(events) == 2
    assert before[0] in pool.pids


def test_a_hung_worker_is_found_and_replaced(objective, local, struck, impatient, tmp_path):
    pool, events = struck
    arm_worker(pool, 0, "product", "stop", 1, str(tmp_path / "flag"))
    agrees(pool, objective, local)
    assert "does not answer; it is ended" in events[0]
    assert "was lost" in events[1]


def test_a_block_or_task_that_kills_every_worker_is_named(objective, monkeypatch):
    """The blocks of a lost share are tried one by one, so that the sentence names the one, by its samples."""
    monkeypatch.setattr(dealing, "ATTEMPTS", 3)
    with Pool(1, 0.5, threads=1, on_event=lambda text: None) as pool:
        with pytest.raises(WorkerFailure, match=r"3 workers died .* on block 1 of 4 \(samples 20–40\)"):
            pool.map_blocks(objective, block_functions.die_of_the_second_block)
        monkeypatch.setattr(dealing, "ATTEMPTS", 2)
        with pytest.raises(WorkerFailure, match="2 workers died one after another on task 4 of 6"):
            pool.map_tasks(block_functions.die_at_three, range(6))
        assert pool.map_blocks(objective, block_functions.count_samples)[0] == objective.samples


def test_out_of_memory_halves_the_micro_batch_everywhere(objective, struck):
    """Every sample counts once, and what follows is computed by the smaller micro-batch."""
    pool, events = struck
    assert pool.map_blocks(objective, block_functions.too_much_at_once)[0] == objective.samples
    assert pool.micro_batch == 5
    assert re.fullmatch("out of memory with 2[01] samples .* with a micro-batch of 10", events[0])
    assert events[1:] == ["out of memory with 10 samples at a time; the pass starts again with a micro-batch of 5"]
    agrees(pool, objective, LocalRunner(threads=1, micro_batch=5))
    with pytest.raises(WorkerFailure, match="one sample at a time does not fit into memory; give each worker"):
        pool.map_blocks(objective, block_functions.never_enough)


def test_demand_that_cannot_be_met_is_refused_at_once():
    for transport in ("store", "collective"):
        with pytest.raises(InputError, match=r"has room for 0 of 1 workers that need 500 CPU each, even when nothing"):
            Pool(1, cpus_per_worker=500, transport=transport).__enter__()


def test_where_nodes_may_come_a_pool_waits_for_them(monkeypatch):
    """With an autoscaler what is missing is no mistake, and a machine may take long to boot."""
    assert (crew.START_SECONDS, crew.AUTOSCALED_SECONDS) == (180.0, 1800.0)
    monkeypatch.setattr(crew, "adds_nodes", lambda: True)
    monkeypatch.setattr(crew, "AUTOSCALED_SECONDS", 0.5)
    monkeypatch.setattr(crew, "NOTICE_SECONDS", 0.1)
    for transport in ("store", "collective"):
        told = []
        with pytest.raises(WorkerFailure, match="1 of 1 workers did not start in 0 s; each needs 500 CPU, the"):
            Pool(1, cpus_per_worker=500, transport=transport, on_event=told.append).__enter__()
        assert len(told) == 1
        assert told[0].startswith("1 of 1 workers are not up yet: each needs 500 CPU, free are ")


ENTRIES = {
    "Hessian": lambda pool, objective: Hessian(objective, pool) @ torch.ones(objective.parameters),
    "GaussNewton": lambda pool, objective: GaussNewton(objective, pool).apply(torch.ones(2, objective.parameters)),
    "Residual": lambda pool, objective: Residual(objective, pool) @ torch.ones(objective.parameters),
    "Fisher": lambda pool, objective: Fisher(objective, pool) @ torch.ones(objective.parameters),
    "to_scipy": lambda pool, objective: Hessian(objective, pool).to_scipy() @ np.ones(objective.parameters),
    "gradient": lambda pool, objective: gradient(objective, pool),
    "top_eigenpairs": lambda pool, objective: dl.top_eigenpairs(Hessian(objective, pool), k=1),
    "spectral_density": lambda pool, objective: dl.spectral_density(Hessian(objective, pool)),
    "trace": lambda pool, objective: dl.trace(Hessian(objective, pool)),
    "frobenius_norm": lambda pool, objective: dl.frobenius_norm(Hessian(objective, pool)),
    "map_blocks": lambda pool, objective: pool.map_blocks(objective, block_functions.count_samples),
    "map_tasks": lambda pool, objective: pool.map_tasks(block_functions.square, [1]),
    "space": lambda pool, objective: pool.space(objective),
    "recover": lambda pool, objective: pool.recover(),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("transport", ["store", "collective"])
def test_a_pool_not_entered_or_left_starts_nothing(entry, transport, objective, monkeypatch):
    """Ray would start one by itself at the first object put, open to the network."""
    monkeypatch.setattr(ray, "init", None)
    monkeypatch.setattr(ray, "put", None)
    pool = Pool(2, transport=transport)
    for _ in range(2):
        with pytest.raises(InputError, match="this Pool has no workers, as it is not entered or was left; use it as"):
            ENTRIES[entry](pool, objective)
        pool.__exit__(None, None, None)


def test_passes_leave_nothing_in_the_store(objective, store):
    """No reference to an array is held by a cycle: without Python's collector of cycles, too, they are gone."""
    v = np.ones((1, objective.parameters))
    worker = ray._private.worker.global_worker.core_worker

    def references():
        return len(worker.get_all_reference_counts())

    store.map_blocks(objective, hessian_products, (v,))
    gc.collect()
    gc.disable()
    try:
        before = references()
        for _ in range(5):
            store.map_blocks(objective, hessian_products, (v,))
        until = time.monotonic() + 10
        while references() > before and time.monotonic() < until:
            time.sleep(0.1)  # Ray gives references back a moment after the last of Python's
        assert references() <= before
    finally:
        gc.enable()


def test_tasks_come_back_in_order_from_all_workers(store):
    told = []
    results = store.map_tasks(block_functions.square, range(20), lambda i, result: told.append((i, result)))
    pids = set(store.map_tasks(block_functions.pid_of, range(30)))
    assert store.map_tasks(block_functions.square, []) == []
    assert pids <= set(store.pids)
    assert results == [i * i for i in range(20)] == LocalRunner().map_tasks(block_functions.square, range(20))
    assert sorted(told) == list(enumerate(results))


def test_an_error_in_a_task_is_raised_and_the_pool_goes_on(store):
    with pytest.raises(ArithmeticError, match="three is refused"):
        store.map_tasks(block_functions.refuse_three, range(6))
    assert store.map_tasks(block_functions.square, range(5)) == [0, 1, 4, 9, 16]
