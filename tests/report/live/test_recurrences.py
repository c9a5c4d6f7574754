"""What the log tells of a Lanczos run is what the run itself knew, at every committed step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distlandscape.record.run import Run
from distlandscape.report.live.recurrences import lanczos_runs
from distlandscape.spectral import spectral_density, top_eigenpairs
from distlandscape.spectral.block import BlockLanczos
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.lanczos import Lanczos
from tests.spectral.helpers import Dense, Punctual, rotated

DIM = 60
A = rotated(np.concatenate([[9.0, 6.0, 5.0], np.linspace(-1, 1, DIM - 5), [-4.0, -5.0]]))
EPS = float(np.finfo(np.float64).eps)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path, "spectrum", {}, {})


@pytest.fixture
def journal(run: Run) -> Punctual:
    return Punctual(run, "eigenpairs-000", lambda _: None, lambda: False)


def operator() -> Dense:
    return Dense(A, TensorSpace(DIM, torch.float64))


@pytest.mark.parametrize("kind", ["plain", "locked", "restarted", "block"])
def test_ritz_values_and_bounds_are_those_of_the_run(kind: str, run: Run, journal: Punctual) -> None:
    H = operator()
    lanczos: Lanczos | BlockLanczos
    if kind == "block":
        lanczos = BlockLanczos(H, 8, 3, 0, journal, "main")
    else:
        q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, 2)))
        locked = [torch.from_numpy(column) for column in q.T] if kind == "locked" else []
        room = 14 if kind == "restarted" else None
        lanczos = Lanczos(H, 40, 0, 0, locked, journal, "main", room)
    for _ in range(8 if kind == "block" else 25):
        if isinstance(lanczos, Lanczos) and lanczos.crowded:
            lanczos.make_room(2, 2)
        lanczos.step()
        (told,) = lanczos_runs(run.log.events("steps"))
        known, found = lanczos.ritz(), told.ritz()
        assert told.steps == lanczos.steps
        np.testing.assert_allclose(found.values, known.values, atol=50 * EPS * 9)
        np.testing.assert_allclose(found.residuals, known.residuals, atol=200 * EPS * 9)
    assert len(told.stretches) == (3 if kind == "restarted" else 1)
    assert told.stretches[0].locked == (2 if kind == "locked" else 0)


def test_earlier_steps_can_be_looked_at_from_the_end(run: Run, journal: Punctual) -> None:
    lanczos, seen = Lanczos(operator(), 12, 0, journal=journal, name="main"), []
    for _ in range(12):
        lanczos.step()
        seen.append(lanczos.ritz())
    (stretch,) = lanczos_runs(run.log.events("steps"))[0].stretches
    for rank, then in enumerate(seen, start=1):
        found = stretch.ritz(rank)
        np.testing.assert_allclose(found.values, then.values, atol=50 * EPS * 9)
        np.testing.assert_allclose(found.residuals, then.residuals, atol=200 * EPS * 9)


def test_runs_of_a_stage_come_in_the_order_of_their_last_step(run: Run, journal: Punctual) -> None:
    pairs = top_eigenpairs(operator(), (2, 2), 1e-6, "BE", seed=3, journal=journal)
    spectral_density(operator(), 2, 6, known=pairs, journal=journal)
    names = [one.name for one in lanczos_runs(run.log.events("steps"))]
    assert names[0] == "main"
    assert names[-2:] == ["draw-0", "draw-1"]
    assert lanczos_runs(run.log.events("steps"))[-1].stretches[0].locked == 4


def test_the_krylov_space_of_a_start_vector_can_end(run: Run, journal: Punctual) -> None:
    flat = Dense(rotated(np.repeat([1.0, 2.0, 3.0], 20)), TensorSpace(DIM, torch.float64))
    lanczos = Lanczos(flat, 8, 0, journal=journal, name="draw-0")
    for _ in range(8):
        lanczos.step()
    (stretch,) = lanczos_runs(run.log.events("steps"))[0].stretches
    assert stretch.invariant == 3
    np.testing.assert_allclose(stretch.ritz(3).values, [1, 2, 3], atol=1e-12)
