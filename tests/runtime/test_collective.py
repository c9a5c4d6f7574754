"""Vectors sharded over real workers: the same bits as in the driver, for any number of workers, and errors that end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from distlandscape.errors import GenerationLost
from distlandscape.objective import Objective
from distlandscape.runtime import Fisher, GaussNewton, Hessian, LocalRunner, Pool, collective
from distlandscape.spectral import spectral_density, top_eigenpairs, trace_and_frobenius
from distlandscape.spectral.driver import TensorSpace
from tests.runtime import block_functions

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@pytest.fixture
def local():
    return LocalRunner(threads=1)


def pool(workers, **options):
    return Pool(workers, cpus_per_worker=0.5, threads=1, transport="collective", **options)


@pytest.mark.parametrize("workers", [3])
def test_whole_measurements_are_the_same_bits(objective, local, workers):
    H = Hessian(objective, local)
    pairs, density = top_eigenpairs(H, (5, 2), 1e-4, "BE"), spectral_density(H, 2, 15)
    estimates = trace_and_frobenius(H, 6, 0, known=pairs)
    with pool(workers) as shared:
        sharded = Hessian(objective, shared)
        got = top_eigenpairs(sharded, (5, 2), 1e-4, "BE")
        assert np.array_equal(got.eigenvalues, pairs.eigenvalues)
        assert np.array_equal(got.residuals, pairs.residuals)
        assert torch.equal(got.eigenvectors, pairs.eigenvectors)
        assert got.trust == pairs.trust
        other = spectral_density(sharded, 2, 15)
        assert np.array_equal(other.nodes, density.nodes)
        assert np.array_equal(other.weights, density.weights)
        assert trace_and_frobenius(sharded, 6, 0, known=pairs) == estimates


def test_space_and_basis_keep_to_the_protocol(objective):
    """Every command, against the driver's own space."""
    one = TensorSpace(objective.parameters, objective.dtype)
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((4, objective.parameters)).astype(np.float32)
    mixing = rng.standard_normal((3, 4))
    with pool(3) as shared:
        two = shared.space(objective)
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
            outcomes.append((numbers, [space.to_numpy(v) for v in vectors]))
        for a, b in zip(outcomes[0][0] + outcomes[0][1], outcomes[1][0] + outcomes[1][1], strict=True):
            assert np.array_equal(a, b)


def test_bases_are_saved_by_many_and_read_by_others(objective, tmp_path):
    with pool(3) as shared:
        space = shared.space(objective)
        basis = space.basis(4)
        for probe in range(3):
            basis.append(space.random(0, probe, "normal"), 0.5)
        files = basis.save(tmp_path, 0)
        assert len(files) == 3
        rows = [space.to_numpy(basis[i]) for i in range(3)]
    alone = TensorSpace(objective.parameters, objective.dtype).basis(4)
    alone.load(tmp_path, 3)
    assert all(np.array_equal(alone[i].numpy(), row) for i, row in enumerate(rows))
    with pool(2) as shared:
        again = shared.space(objective).basis(4)
        again.load(tmp_path, 3)
        assert all(np.array_equal(shared.space(objective).to_numpy(again[i]), row) for i, row in enumerate(rows))


def test_objectives_take_turns(objective, local):
    """Products recorded for one objective are not computed with the next one's weights."""
    moved = objective.with_weights({name: 1.1 * t for name, t in objective.model.state_dict().items()})
    v = np.ones(objective.parameters, dtype=np.float32)
    with pool(2) as shared:
        operators = [
            Hessian(objective, shared),
            GaussNewton(moved, shared),
            Fisher(objective, shared, "sampled", seed=2),
        ]
        handles = [H.apply([H.space.from_numpy(v)])[0] for H in operators]
        got = [H.space.to_numpy(w) for H, w in zip(operators, handles, strict=True)]
    expected = [Hessian(objective, local), GaussNewton(moved, local), Fisher(objective, local, "sampled", seed=2)]
    assert all(np.array_equal(w, (H @ v).numpy()) for w, H in zip(got, expected, strict=True))


def test_weight_decay_and_double_precision(local):
    rng = np.random.default_rng(1)
    net = torch.nn.Sequential(torch.nn.Linear(8, 40), torch.nn.Tanh(), torch.nn.Linear(40, 3))
    objective = Objective(
        net, (rng.standard_normal((70, 8)), rng.integers(0, 3, 70)), weight_decay=0.3, dtype=torch.float64
    )
    v = rng.standard_normal(objective.parameters)
    with pool(3) as shared:
        H = Hessian(objective, shared)
        sharded = H.space.to_numpy(H.apply([H.space.from_numpy(v)])[0])
    assert np.array_equal(sharded, (Hessian(objective, local) @ v).numpy())


class Refusing(Hessian):
    products = staticmethod(block_functions.refuse_late_blocks)


def test_an_error_on_one_rank_ends_on_all_and_vectors_stay(objective):
    with pool(3) as shared:
        space = shared.space(objective)
        v = space.random(0, 0, "normal")
        before = space.to_numpy(v)
        bad = Refusing(objective, shared).apply([v])
        with pytest.raises(ArithmeticError, match="late blocks are refused"):
            space.to_numpy(bad[0])
        assert np.array_equal(space.to_numpy(v), before)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_worker_ends_the_generation_and_the_pool_recovers(objective, local, kind, monkeypatch):
    monkeypatch.setattr(collective, "QUIET_SECONDS", 1.0)
    monkeypatch.setattr("distlandscape.runtime.pool.PING_SECONDS", 4.0)
    events = []
    with pool(2, on_event=events.append) as shared:
        H = Hessian(objective, shared)
        v = H.space.random(0, 0, "normal")
        expected = H.space.to_numpy(H.apply([v])[0])
        os.kill(shared.pids[1], kind)
        with pytest.raises(GenerationLost, match="worker 1 of the collective transport was lost"):
            H.space.to_numpy(H.apply([v])[0])
        shared.recover()
        again = H.space.random(0, 0, "normal")
        assert np.array_equal(H.space.to_numpy(H.apply([again])[0]), expected)
    assert "all 2 workers were started anew" in events


def test_spaces_of_other_sizes_take_turns(objective, local):
    """Every change of size or type is a new generation of the same workers."""
    part = Objective(objective.model, objective.data, parameters=["3"])
    with pool(3) as shared:
        for turn in range(2):
            for mine in (objective, part):
                H = Hessian(mine, shared)
                v = H.space.random(turn, 0, "normal")
                product = H.space.to_numpy(H.apply([v])[0])
                alone = Hessian(mine, local)
                assert np.array_equal(product, alone.apply([alone.space.random(turn, 0, "normal")])[0].numpy())


def test_nothing_listens_beyond_this_machine(objective):
    """The group's sockets are on loopback, and its store is a file."""
    with pool(2) as shared:
        Hessian(objective, shared).space.random(0, 0, "sign")
        shared.space(objective).flush()
        inodes = {str(link.readlink()) for pid in shared.pids for link in list(Path(f"/proc/{pid}/fd").iterdir())}
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in inodes]
    assert listening
    assert all(address.startswith("0100007F:") for address in listening), listening
