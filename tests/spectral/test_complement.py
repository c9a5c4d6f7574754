"""The check in the complement of a Krylov space: its Schur complement, what it saves, and that it misses no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from distlandscape.spectral import eigenpairs, top_eigenpairs
from distlandscape.spectral.complement import SchurComplement
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.sides import ACCEPTED
from tests.spectral.helpers import Array, Dense, MemoryJournal, Stop, rotated, rows, run_lanczos, spaces

OUTLIERS = np.concatenate([[9, 7, 6, 5.5, 5, 4.6], np.linspace(-1, 1, 390), [-2, -3, -3.5]])


def restrictions(values: Array, steps: int, k: int, sign: float, seed: int) -> tuple[Array, Array, float]:
    """Eigenvalues of H beside k Ritz vectors of one end, of S beside all, and the edge."""
    run = run_lanczos(Dense(rotated(values, seed % 997)), steps, seed=seed)
    space, ritz = run.operator.space, run.ritz()
    chosen = np.arange(run.rank)[-k:] if sign > 0 else np.arange(k)
    edge = float(ritz.values[chosen[0 if sign > 0 else -1]])
    others = np.setdiff1d(np.arange(run.rank), chosen)
    schur = SchurComplement.of(run, ritz, others, edge)
    assume(schur is not None and run.recurrence.betas[-1] > 1e-6)
    assert schur is not None
    V = rows(space, run.basis)[: run.rank].T @ ritz.vectors[:, chosen]
    beside_V = np.linalg.qr(V, mode="complete")[0][:, k:]
    beside_Q = np.linalg.qr(rows(space, run.basis)[: run.rank].T, mode="complete")[0][:, run.rank :]
    images = np.stack([space.to_numpy(v) for v in schur.apply([space.from_numpy(v) for v in beside_Q.T])])
    S = images @ beside_Q
    np.testing.assert_allclose(S, S.T, atol=1e-10 * np.abs(values).max())
    # Nothing along Q: residuals of the run on S are then those of S.
    assert np.abs(images @ (beside_Q @ beside_Q.T) - images).max() <= 1e-9 * np.abs(values).max()
    A = run.operator.A  # type: ignore[attr-defined]
    return np.linalg.eigvalsh(beside_V.T @ A @ beside_V), np.linalg.eigvalsh(S), edge


@given(
    st.lists(st.tuples(st.sampled_from([-9.0, -1.0, 0.0, 0.3, 2.0, 7.0]), st.integers(1, 8)), min_size=2, max_size=5),
    st.integers(2, 14),
    st.integers(1, 4),
    st.sampled_from([1.0, -1.0]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_it_has_as_many_eigenvalues_beyond_the_edge_and_none_further_out(
    groups: list[Any], steps: int, k: int, sign: float, seed: int
) -> None:
    values = np.concatenate([centre + 0.01 * np.arange(count) for centre, count in groups])
    assume(len(values) > steps + 2 and k <= steps)
    beside_V, of_S, edge = restrictions(values, steps, k, sign, seed)
    margin = 1e-9 * np.abs(values).max()
    for direction in (1, -1):  # as many on either side, but for those at the edge to rounding
        sure = np.sum(direction * sign * (beside_V - edge) > margin)
        possible = np.sum(direction * sign * (beside_V - edge) > -margin)
        eliminated = (len(beside_V) - len(of_S)) if direction < 0 else 0
        found = np.sum(direction * sign * (of_S - edge) > 0)
        assert sure - eliminated <= found + 1e-9
        assert found <= possible - eliminated or np.abs(of_S - edge).min() <= margin
    if np.all(sign * (beside_V - edge) < -margin):
        assert beside_V.min() - margin <= of_S.min()
        assert of_S.max() <= beside_V.max() + margin


@pytest.mark.parametrize("which", ["LA", "SA"])
def test_it_takes_fewer_steps_than_a_search_beside_the_pairs(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operator, saved = Dense(rotated(OUTLIERS)), []
    for seed in range(10):
        quick = top_eigenpairs(operator, 3, 1e-4, which, seed=seed)
        with monkeypatch.context() as patch:
            patch.setattr(eigenpairs, "exclude_copies", lambda *_: (None, 0))
            plain = top_eigenpairs(operator, 3, 1e-4, which, seed=seed)
        assert quick.eigenvalues.tobytes() == plain.eigenvalues.tobytes()
        assert quick.eigenvectors.numpy().tobytes() == plain.eigenvectors.numpy().tobytes()
        for pairs in (quick, plain):
            assert pairs.trust.missed_probability is not None
            assert pairs.trust.missed_probability <= ACCEPTED
        saved.append(plain.passes - quick.passes)
    assert min(saved) >= 0
    assert np.mean(saved) >= 2


@pytest.mark.parametrize("which", ["LA", "SA"])
def test_hidden_copies_are_missed_no_more_often_than_allowed(which: str) -> None:
    """Ends of three copies: a first run of one start sees one; one miss in a thousand is allowed."""
    sign = 1.0 if which == "LA" else -1.0
    values = sign * np.concatenate([[1.1, 1.1, 1.1, 1.0], np.linspace(0, 0.9, 150)])

    class Diagonal(Dense):  # starts are isotropic: a rotation changes nothing but the cost
        def product(self, v: Array) -> Array:
            return values * v

    missed = 0
    for seed in range(60):
        operator = Diagonal(values[None], TensorSpace(len(values), torch.float64))
        pairs = top_eigenpairs(operator, 2, 1e-3, which, seed=seed)
        assert pairs.passes == operator.passes
        missed += bool(np.abs(pairs.eigenvalues - sign * 1.1).max() > 0.05)
    assert missed <= 1


def test_other_pairs_at_the_edge_leave_it_to_the_search_beside_the_pairs() -> None:
    run = run_lanczos(Dense(rotated(OUTLIERS)), 40)
    ritz = run.ritz()
    assert SchurComplement.of(run, ritz, np.arange(39), float(ritz.values[-2])) is None


@pytest.mark.parametrize("which", ["LA", "SA"])
def test_the_spaces_agree_and_a_crash_in_it_changes_no_bit(which: str) -> None:
    A, seen = rotated(OUTLIERS), set()
    for space in spaces(len(A), torch.float32).values():
        whole = top_eigenpairs(Dense(A, space), 3, 1e-4, which)
        assert "none found" in whole.trust.missed_copies
        assert whole.passes > whole.steps + 3
        for at in range(whole.steps, whole.passes + 1):
            operator, journal = Dense(A, space), MemoryJournal(space)
            operator.fail_at = at
            with pytest.raises(Stop):
                top_eigenpairs(operator, 3, 1e-4, which, journal=journal)
            again = top_eigenpairs(Dense(A, space), 3, 1e-4, which, journal=journal)
            assert ("complement" in journal.restored) == (at > whole.steps + 2)
            seen.add((again.eigenvectors.numpy().tobytes(), again.passes, str(again.trust)))
        seen.add((whole.eigenvectors.numpy().tobytes(), whole.passes, str(whole.trust)))
    assert len(seen) == 1


def test_what_the_spectrum_does_not_decide_is_left_to_the_search_beside_the_pairs() -> None:
    """Copies are shown by S but not reported from it; the passes of both searches count."""
    values = np.concatenate([[9.0, 9.0, 6.0], np.linspace(-1, 1, 250)])
    operator = Dense(rotated(values))
    pairs = top_eigenpairs(operator, 2, 1e-6)
    np.testing.assert_allclose(pairs.eigenvalues, [9, 9], atol=1e-6)
    assert pairs.trust.missed_copies.startswith("1 found and added")
    assert pairs.passes == operator.passes
