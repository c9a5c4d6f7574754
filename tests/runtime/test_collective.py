"""Vectors sharded over real workers: the same bits as in the driver, for any number of workers, and errors that end."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from distlandscape.errors import GenerationLost, WorkerFailure
from distlandscape.objective import Objective
from distlandscape.runtime import Fisher, GaussNewton, Hessian, LocalRunner, Pool, collective, dealing
from distlandscape.spectral import spectral_density, top_eigenpairs, trace_and_frobenius
from distlandscape.spectral.driver import TensorSpace
from tests.runtime import block_functions
from tests.runtime.faults import arm_worker

pytestmark = pytest.mark.usefixtures("ray_session")


def pool(workers, **options):
    return Pool(workers, 0.5, threads=1, transport="collective", **options)


@pytest.fixture(scope="module")
def three(ray_session):
    """Three workers, and what is told of them."""
    events = []
    with pool(3, on_event=events.append, micro_batch=10) as shared:
        yield shared, events


@pytest.fixture
def struck(three):
    """The three for tests that strike them; what one of them lost is back before the next."""
    shared, events = three
    shared.recover()
    shared._crew.wait(3, 60)
    events.clear()
    return shared, events


@pytest.fixture(scope="module")
def expected(objective):
    """What the three compute, in the driver."""
    return whole(Hessian(objective, LocalRunner(threads=1, micro_batch=10)))


def test_whole_measurements_are_the_same_bits(objective, local, group):
    H, sharded = Hessian(objective, local), Hessian(objective, group)
    for k, which, options in ((4, "LA", {}), ((5, 2), "BE", {}), ((5, 2), "BE", {"basis_size": 12})):
        pairs = top_eigenpairs(H, k, 1e-4, which, **options)
        got = top_eigenpairs(sharded, k, 1e-4, which, **options)
        assert np.array_equal(got.eigenvalues, pairs.eigenvalues)
        assert np.array_equal(got.residuals, pairs.residuals)
        assert torch.equal(got.eigenvectors, pairs.eigenvectors)
        assert (got.trust, got.passes) == (pairs.trust, pairs.passes)
    density, other = spectral_density(H, 2, 15), spectral_density(sharded, 2, 15)
    assert np.array_equal(other.nodes, density.nodes)
    assert np.array_equal(other.weights, density.weights)
    assert trace_and_frobenius(sharded, 6, 0, known=pairs) == trace_and_frobenius(H, 6, 0, known=pairs)


def test_space_and_basis_keep_to_the_protocol(objective, group):
    """Every command, against the driver's own space."""
    one = TensorSpace(objective.parameters, objective.dtype)
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((4, objective.parameters)).astype(np.float32)
    mixing = rng.standard_normal((3, 4))
    two = group.space(objective)
    outcomes = []
    for space in (one, two):
        xs = [space.from_numpy(a) for a in arrays]
        probe = space.random(3, 7, "normal")
        mixed = space.combine(xs, mixing)
        basis = space.basis(6)
        numbers = [space.dots(xs, mixed), space.dots([probe], [probe])]
        for x in [*xs, probe]:
            w, coefficients, norm = basis.orthogonalize(x)
            numbers += [coefficients, np.array(norm)]
            basis.append(w, 1 / norm)
        numbers += [basis.dots(mixed[0])]
        ritz = basis.combine(mixing[:2, :1] * np.ones((2, 5)))
        vectors = [*mixed, *ritz, basis[0], basis[-1], probe]
        basis.compress(np.ones((2, 4)) / 2)
        vectors += [basis[0], basis[-1]]
        assert basis.size == 3
        basis.truncate(1)
        basis.append(probe, 0.5)
        vectors += [basis[0], basis[1]]
        assert basis.size == 2
        outcomes.append((numbers, [space.to_numpy(v) for v in vectors]))
    for a, b in zip(outcomes[0][0] + outcomes[0][1], outcomes[1][0] + outcomes[1][1], strict=True):
        assert np.array_equal(a, b)


def test_bases_are_saved_by_many_and_read_by_others(objective, group, tmp_path):
    space = group.space(objective)
    basis = space.basis(4)
    for probe in range(3):
        basis.append(space.random(0, probe, "normal"), 0.5)
    saving = basis.save(tmp_path, 0)
    basis.append(space.random(0, 3, "normal"), 0.5)
    assert len(saving.result()) == 3
    rows = [space.to_numpy(basis[i]) for i in range(3)]
    alone = TensorSpace(objective.parameters, objective.dtype).basis(4)
    alone.load(tmp_path, 3)
    assert all(np.array_equal(alone[i].numpy(), row) for i, row in enumerate(rows))
    again = space.basis(4)
    again.load(tmp_path, 3)
    assert all(np.array_equal(space.to_numpy(again[i]), row) for i, row in enumerate(rows))


def test_objectives_take_turns(objective, local, group):
    """Products recorded for one objective are not computed with the next one's weights."""
    moved = objective.with_weights({name: 1.1 * t for name, t in objective.model.state_dict().items()})
    v = np.ones(objective.parameters, dtype=np.float32)
    operators = [Hessian(objective, group), GaussNewton(moved, group), Fisher(objective, group, "sampled", seed=2)]
    handles = [H.apply([H.space.from_numpy(v)])[0] for H in operators]
    got = [H.space.to_numpy(w) for H, w in zip(operators, handles, strict=True)]
    expected = [Hessian(objective, local), GaussNewton(moved, local), Fisher(objective, local, "sampled", seed=2)]
    assert all(np.array_equal(w, (H @ v).numpy()) for w, H in zip(got, expected, strict=True))


def test_weight_decay_and_double_precision(local, group):
    rng = np.random.default_rng(1)
    net = torch.nn.Sequential(torch.nn.Linear(8, 40), torch.nn.Tanh(), torch.nn.Linear(40, 3))
    objective = Objective(
        net, (rng.standard_normal((70, 8)), rng.integers(0, 3, 70)), weight_decay=0.3, dtype=torch.float64
    )
    v = rng.standard_normal(objective.parameters)
    H = Hessian(objective, group)
    sharded = H.space.to_numpy(H.apply([H.space.from_numpy(v)])[0])
    assert np.array_equal(sharded, (Hessian(objective, local) @ v).numpy())


class Refusing(Hessian):
    products = staticmethod(block_functions.refuse_late_blocks)


class Deadly(Hessian):
    products = staticmethod(block_functions.die_of_late_blocks)


def test_an_error_on_one_rank_ends_on_all_and_vectors_stay(objective, group):
    space = group.space(objective)
    v = space.random(0, 0, "normal")
    before = space.to_numpy(v)
    bad = Refusing(objective, group).apply([v])
    with pytest.raises(ArithmeticError, match="late blocks are refused"):
        space.to_numpy(bad[0])
    assert np.array_equal(space.to_numpy(v), before)


def test_spaces_of_other_sizes_take_turns(objective, local, group):
    """Every change of size or type is a new generation of the same workers."""
    part = Objective(objective.model, objective.data, parameters=["3"])
    for turn in range(2):
        for mine in (objective, part):
            H = Hessian(mine, group)
            v = H.space.random(turn, 0, "normal")
            product = H.space.to_numpy(H.apply([v])[0])
            alone = Hessian(mine, local)
            assert np.array_equal(product, alone.apply([alone.space.random(turn, 0, "normal")])[0].numpy())


def test_nothing_listens_beyond_this_machine(objective, group):
    """The group's sockets are on loopback, and its store is a file."""
    group.space(objective).random(0, 0, "sign")
    group.space(objective).flush()
    inodes = {str(link.readlink()) for pid in group.pids for link in list(Path(f"/proc/{pid}/fd").iterdir())}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in inodes]
    assert listening
    assert all(address.startswith("0100007F:") for address in listening), listening


def whole(H):
    pairs = top_eigenpairs(H, 4, 1e-4, basis_size=12)
    return pairs.eigenvalues.tobytes(), pairs.eigenvectors.numpy().tobytes(), pairs.residuals.tobytes(), pairs.passes


def test_a_lost_worker_ends_the_generation_and_the_pool_recovers(objective, expected, struck, impatient, tmp_path):
    """In a product, in an exchange, and stopped; survivors are not started anew, and none waits for a dead one."""
    shared, events = struck
    H = Hessian(objective, shared)
    for turn, (number, *fault) in enumerate(
        [(1, "exchange", "kill", 9), (2, "product", "kill", 7), (0, "exchange", "stop", 5)]
    ):
        others = {pid for i, pid in enumerate(shared.pids) if i != number}
        arm_worker(shared, number, *fault, str(tmp_path / str(turn)))
        began = time.monotonic()
        with pytest.raises(GenerationLost, match=f"worker {number} of the collective transport was lost"):
            whole(H)
        shared.recover()
        assert time.monotonic() - began < 60
        assert others < set(shared.pids)
        assert len(shared.pids) == 3
    assert whole(H) == expected
    assert len(events) == 4  # three losses, and that one did not answer


def test_out_of_memory_on_one_rank_repeats_the_command_on_all(objective, expected, struck, tmp_path):
    """Commands before the product are not done twice: the numbers are those of the smaller micro-batch throughout."""
    shared, events = struck
    pids = shared.pids
    arm_worker(shared, 1, "product", "memory", 1, str(tmp_path / "flag"))
    assert whole(Hessian(objective, shared)) == expected
    assert shared.pids == pids
    assert shared.micro_batch == 10
    assert events == ["out of memory with 20 samples at a time; the pass starts again with a micro-batch of 10"]


def test_an_error_of_one_rank_outside_a_product_strands_nobody(objective, expected, struck, tmp_path):
    """The others wait for it in an exchange; its leaving tells them, none is lost, and the error is the one raised."""
    shared, events = struck
    H, pids = Hessian(objective, shared), shared.pids
    arm_worker(shared, 0, "exchange", "fail", 8, str(tmp_path / "flag"))
    with pytest.raises(ArithmeticError, match="armed to fail"):
        whole(H)
    assert (shared.pids, events) == (pids, [])
    assert whole(H) == expected


def test_a_rank_that_computes_is_not_lost_with_another(objective, expected, struck, monkeypatch, tmp_path):
    """It hears of the loss while it is at its blocks, and stops in front of the next micro-batch."""
    shared, events = struck
    monkeypatch.setattr(collective, "STRANDED_SECONDS", 0.3)
    H, pids = Hessian(objective, shared), shared.pids
    arm_worker(shared, 0, "product", "kill", 1, str(tmp_path / "kill"))
    arm_worker(shared, 1, "product", "pause", 1, str(tmp_path / "pause"))
    with pytest.raises(GenerationLost, match="worker 0 of the collective transport was lost"):
        whole(H)
    shared.recover()
    assert shared.map_blocks(objective, block_functions.count_samples)[0] == objective.samples
    assert shared.pids[1:] == pids[1:]
    assert len(events) == 1
    assert whole(H) == expected


def test_a_rank_that_does_not_leave_is_killed(objective, expected, struck, monkeypatch, tmp_path):
    """It would keep the error of another one waiting for ever."""
    shared, events = struck
    monkeypatch.setattr(collective, "STRANDED_SECONDS", 0.3)
    monkeypatch.setattr(collective, "LEAVE_SECONDS", 0.5)
    H, pids = Hessian(objective, shared), shared.pids
    arm_worker(shared, 0, "exchange", "fail", 8, str(tmp_path / "fail"))
    arm_worker(shared, 1, "exchange", "sleep", 8, str(tmp_path / "sleep"))
    with pytest.raises(ArithmeticError, match="armed to fail"):
        whole(H)
    shared.recover()
    assert [old == new for old, new in zip(pids, shared.pids, strict=True)] == [True, False, True]
    assert len(events) == 1
    assert whole(H) == expected


def test_a_block_that_kills_every_worker_is_named(objective, monkeypatch):
    monkeypatch.setattr(dealing, "ATTEMPTS", 3)
    with pool(1, on_event=lambda text: None) as shared:
        deadly = Deadly(objective, shared)
        space = shared.space(objective)
        product = deadly.apply([space.random(0, 0, "normal")])
        with pytest.raises(GenerationLost):
            space.to_numpy(product[0])
        with pytest.raises(WorkerFailure, match=r"3 workers died .* on block 2 of 4 \(samples 41–61\)"):
            shared.recover(repeated=True)
