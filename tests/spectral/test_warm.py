"""A warm start: the same answer as a cold one, and no less sound a check, whatever the pairs to start from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs
from distlandscape.spectral import top_eigenpairs, warm
from distlandscape.spectral.copies import ACCEPTED
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.probes import probe_entries
from distlandscape.spectral.space import ProbeKind
from distlandscape.spectral.warm import fresh_seed, warm_vector
from tests.spectral.helpers import DTYPES, Array, Dense, MemoryJournal, Stop, eps, rotated, spaces

VALUES = np.concatenate([[9.0, 7.0, 6.0, 6.0, 5.0], np.linspace(-1, 1, 90), [-3.0, -3.0, -4.0, -5.0, -6.0]])


def turned(A: Array, by: float, seed: int = 1) -> Array:
    """A matrix nearby, with other eigenvalues and eigenvectors."""
    return A + by * rotated(np.linspace(-1, 1, len(A)), seed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by", [0.0, 0.3, 30.0])
@pytest.mark.parametrize(("k", "which"), [(4, "LA"), (4, "SA"), ((4, 3), "BE"), ((9, 0), "BE")])
@pytest.mark.parametrize("start_k", [(4, 3), (0, 2)])
def test_the_answer_is_that_of_the_operator(k: Any, which: str, start_k: Any, by: float, dtype: torch.dtype) -> None:
    """From pairs of the same, of a nearby and of quite another matrix, of both ends or the wrong one."""
    A = rotated(VALUES)
    tol = 1e-4
    start = top_eigenpairs(Dense(A, dtype=dtype), start_k, tol, "BE")
    operator = Dense(turned(A, by), dtype=dtype)
    pairs = top_eigenpairs(operator, k, tol, which, start=start)
    exact = np.linalg.eigvalsh(operator.A)[::-1]
    top, low = k if which == "BE" else (k, 0) if which == "LA" else (0, k)
    exact = np.concatenate([exact[:top], exact[len(exact) - low :]])
    assert pairs.status == "converged"
    assert pairs.passes == operator.passes
    assert (np.abs(pairs.eigenvalues - exact) <= 2 * tol * np.abs(exact)).all()
    V = pairs.eigenvectors.double().numpy()
    true = np.linalg.norm(V @ operator.A - pairs.eigenvalues[:, None] * V, axis=1)
    assert (true <= pairs.residuals + 100 * eps(dtype) * np.abs(exact).max()).all()
    assert np.abs(V @ V.T - np.eye(len(V))).max() <= 100 * eps(dtype)


def test_pairs_of_the_same_operator_save_products() -> None:
    operator = Dense(rotated(np.concatenate([[9.0, 7.0, 6.0, 5.0], np.linspace(-1, 4.9, 196)])))
    cold = top_eigenpairs(operator, 4, 1e-3)
    assert top_eigenpairs(operator, 4, 1e-3, start=cold).steps < 0.8 * cold.steps


def test_equal_arguments_give_equal_bits_in_every_space() -> None:
    A, B = rotated(VALUES), turned(rotated(VALUES), 0.1)
    found = []
    for space in [*spaces(len(A), torch.float32).values(), TensorSpace(len(A))]:
        start = top_eigenpairs(Dense(A, space), (4, 2), 1e-4, "BE")
        pairs = top_eigenpairs(Dense(B, space), (4, 2), 1e-4, "BE", start=start)
        found.append((pairs.eigenvalues.tobytes(), pairs.eigenvectors.numpy().tobytes(), pairs.passes, pairs.seed))
        kept = top_eigenpairs(Dense(A, space), (4, 2), 1e-4, "BE", gather=False)  # vectors that stay where they are
        again = top_eigenpairs(Dense(B, space), (4, 2), 1e-4, "BE", start=kept)
        assert again.eigenvalues.tobytes() == found[0][0]
    assert len(set(found)) == 1


@pytest.mark.parametrize("room", [None, 14])
@pytest.mark.parametrize("at", [1, 2, 9, 17, 20, 21])
def test_a_run_cut_off_and_resumed_gives_the_same_bits(at: int, room: int | None) -> None:
    A, B = rotated(VALUES), turned(rotated(VALUES), 0.1)
    start = top_eigenpairs(Dense(A), 4, 1e-4)
    whole = top_eigenpairs(Dense(B), 4, 1e-4, basis_size=room, start=start)
    assert whole.passes > 21
    operator = Dense(B)
    operator.fail_at = at
    journal = MemoryJournal(operator.space)
    with pytest.raises(Stop):
        top_eigenpairs(operator, 4, 1e-4, basis_size=room, start=start, journal=journal)
    again = top_eigenpairs(Dense(B), 4, 1e-4, basis_size=room, start=start, journal=journal)
    assert again.eigenvectors.numpy().tobytes() == whole.eigenvectors.numpy().tobytes()
    assert (again.passes, again.trust) == (whole.passes, whole.trust)


def test_the_vector_it_begins_from() -> None:
    operator = Dense(rotated(VALUES))
    start = top_eigenpairs(operator, (3, 2), 1e-6, "BE")
    noise = probe_entries(7, 0, "normal", 0, 100) / np.sqrt(100)
    V = start.eigenvectors.numpy()
    for top, low, rows in [(3, 2, V), (5, 9, V), (2, 1, V[[0, 1, 4]]), (2, 0, V[:2]), (0, 1, V[4:])]:
        expected = rows.sum(0) / np.sqrt(len(rows)) + warm.RANDOM * noise
        np.testing.assert_allclose(warm_vector(operator.space, start, top, low, 7).numpy(), expected, atol=1e-14)
    lowest = top_eigenpairs(operator, 2, 1e-6, "SA")  # nothing at the end that is wanted: all of it random
    np.testing.assert_allclose(warm_vector(operator.space, lowest, 3, 0, 7).numpy(), warm.RANDOM * noise, atol=1e-14)


def test_no_two_runs_of_a_chain_share_a_random_vector() -> None:
    operator = Dense(np.eye(30))  # whose pairs are the same bits every time
    chain: list[Eigenpairs] = []
    for _ in range(4):
        chain.append(top_eigenpairs(operator, 2, 1e-3, seed=5, start=chain[-1] if chain else None))
    assert chain[0].seed == 5
    assert len({pairs.seed for pairs in chain}) == 4
    assert all(0 <= pairs.seed < 2**63 for pairs in chain)
    assert fresh_seed(5, None) == 5
    assert fresh_seed(4, chain[0]) != fresh_seed(5, chain[0])


def test_pairs_of_another_operator_are_refused() -> None:
    foreign = top_eigenpairs(Dense(np.eye(10)), 2)
    with pytest.raises(
        InputError, match="to start from have 10 entries, the operator 20; take those of the same model"
    ):
        top_eigenpairs(Dense(np.eye(20)), 2, start=foreign)


class Blind(TensorSpace):
    """Random vectors of one seed have no part along the last coordinate: the unlucky draw of a thousand."""

    def random(self, seed: int, probe: int, kind: ProbeKind) -> torch.Tensor:
        vector = super().random(seed, probe, kind)
        if seed == 0:
            vector[-1] = 0
        return vector


class Diagonal(Dense):
    """What is exactly 0 along a coordinate stays 0."""

    def product(self, v: Array) -> Array:
        return self.A[0] * v


@pytest.mark.parametrize("random", [0.0, warm.RANDOM])
def test_what_earlier_vectors_could_not_see_is_not_hidden_for_good(random: float, monkeypatch: Any) -> None:
    """An outlier appears along a direction on which no vector drawn before has a component."""
    monkeypatch.setattr(warm, "RANDOM", random)
    values = np.concatenate([[9.0, 7.0, 6.0], np.linspace(-1, 1, 200), [0.5]])
    later = np.concatenate([values[:-1], [8.0]])
    space = Blind(len(values), torch.float64)
    before = top_eigenpairs(Diagonal(values[None], space), 3, 1e-4)
    assert 8 not in top_eigenpairs(Diagonal(later[None], space), 3, 1e-4).eigenvalues.round()  # the trap is one
    pairs = top_eigenpairs(Diagonal(later[None], space), 3, 1e-4, start=before)
    np.testing.assert_allclose(pairs.eigenvalues, [9, 8, 7], atol=1e-3)
    assert ("1 found and added" in pairs.trust.missed_copies) == (random == 0)


def test_new_outliers_and_copies_are_missed_no_more_often_than_allowed(monkeypatch: Any) -> None:
    """Even without a random part of the start, when all rests on the check: one miss in a thousand is allowed."""
    monkeypatch.setattr(warm, "RANDOM", 0.0)
    values = np.concatenate([[1.2, 1.1, 1.0], np.linspace(0, 0.9, 100)])
    later = values.copy()
    later[[50, 60]] = 1.15  # out of the bulk, where the known vectors have nothing, and twice
    space, missed, claims = TensorSpace(len(values), torch.float64), 0, []
    for seed in range(50):
        before = top_eigenpairs(Diagonal(values[None], space), 3, 1e-3, seed=seed)
        pairs = top_eigenpairs(Diagonal(later[None], space), 3, 1e-3, seed=seed, start=before)
        missed += not np.allclose(pairs.eigenvalues, [1.2, 1.15, 1.15], atol=3e-3)
        claims.append(pairs.trust.missed_probability)
    assert missed <= 2  # binomial: three or more of 50 at one in a thousand have a probability of 2e-5
    assert all(claim is None or claim <= ACCEPTED for claim in claims)
    assert sum(claim is not None for claim in claims) > 25


def test_vectors_that_are_no_eigenvectors_do_no_harm() -> None:
    """Anything may be given; here the coordinate axes, with values that are wrong."""
    operator = Dense(rotated(VALUES))
    cold = top_eigenpairs(operator, 5, 1e-6)
    wrong = replace(cold, eigenvectors=torch.eye(100, dtype=torch.float64)[:5], eigenvalues=-cold.eigenvalues)
    pairs = top_eigenpairs(operator, 5, 1e-6, start=wrong)
    np.testing.assert_allclose(pairs.eigenvalues, cold.eigenvalues, rtol=2e-6)
