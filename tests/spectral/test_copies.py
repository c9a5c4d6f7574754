"""The check for missed copies: it ends, it finds them, and its probability is a bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.results import Trust
from distlandscape.spectral import top_eigenpairs
from distlandscape.spectral.copies import Outcome, Pairs, add_missed_copies, concluded
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.journal import SILENT
from distlandscape.spectral.lanczos import Lanczos
from distlandscape.spectral.probes import probe_entries
from distlandscape.spectral.share import log_share, log_shares, together
from distlandscape.spectral.sides import ACCEPTED
from tests.spectral.helpers import DTYPES, Array, Dense, MemoryJournal, check_verdicts, eps, rotated, run_lanczos


def look(
    operator: Dense, found: list[int], top: int, low: int, tol: float, limit: int, seed: int = 0
) -> tuple[Pairs, Outcome]:
    """Run the check on exact eigenpairs: numbers ``found`` of the descending list."""
    values, vectors = np.linalg.eigh(operator.A)
    values, vectors = values[::-1], vectors[:, ::-1]
    space = operator.space
    pairs = Pairs(
        values[found], [space.from_numpy(vectors[:, i]) for i in found], np.zeros(len(found)), np.zeros(len(found))
    )
    trust = Trust(0.0, 0.0, 0.0, float(np.abs(values).max()))
    return add_missed_copies(operator, pairs, trust, top, low, tol, limit, seed, SILENT)


@given(
    st.lists(
        st.tuples(st.sampled_from([-9.0, -1.0, 0.0, 0.3, 0.31, 2.0, 7.0]), st.integers(1, 6)), min_size=1, max_size=6
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
)
@settings(max_examples=150, deadline=None)
def test_no_eigenvector_has_more_of_the_start_than_the_bound(groups: list[Any], seed: int, steps: int) -> None:
    """ω ≤ 1/Σ p_k(λ)², at every step, before and after a breakdown, for every eigenspace no Ritz value stands for."""
    values = np.concatenate([np.full(count, value) for value, count in groups])
    operator = Dense(rotated(values, seed % 997))
    run = Lanczos(operator, steps, seed)
    start = operator.space.to_numpy(run.basis[0])
    exact, vectors = np.linalg.eigh(operator.A)
    while not run.full:
        run.step()
        for value in np.unique(values):
            if np.abs(run.ritz().values - value).min() < 1e-3:
                continue
            share = float(np.sum((vectors[:, np.abs(exact - value) < 1e-6].T @ start) ** 2))
            assert np.log(share) <= log_share(run, float(value)) + 1e-6


@given(
    st.lists(st.tuples(st.sampled_from([-9.0, -1.0, 0.0, 0.3, 2.0, 7.0]), st.integers(1, 9)), min_size=2, max_size=5),
    st.sampled_from([0.0, 1e-3, 0.02]),
    st.integers(0, 2**32 - 1),
    st.integers(3, 5),
    st.integers(1, 3),
    st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_the_bound_holds_across_restarts(
    groups: list[Any], width: float, seed: int, spare: int, top: int, low: int
) -> None:
    """As above, in a basis that is compressed again and again, for values that have never shown."""
    values = np.concatenate([centre + width * np.arange(count) for centre, count in groups])
    operator = Dense(rotated(values, seed % 997))
    exact, vectors = np.linalg.eigh(operator.A)
    points = [float(value) for value in np.unique(values)]
    run = Lanczos(operator, 40, seed, room=top + low + spare, watched=points)
    start, shown = operator.space.to_numpy(run.basis[0]), set[float]()
    while not run.full:
        if run.crowded:
            run.make_room(top, low)
        run.step()
        shown |= {point for point in points if np.abs(run.ritz().values - point).min() < 1e-3}
        for point in set(points) - shown:
            share = float(np.sum((vectors[:, np.abs(exact - point) < 1e-6].T @ start) ** 2))
            assert np.log(share) <= log_share(run, point) + 1e-6


@given(
    st.lists(st.tuples(st.sampled_from([-9.0, -1.0, 0.0, 0.3, 2.0, 7.0]), st.integers(1, 9)), min_size=2, max_size=5),
    st.integers(0, 2**32 - 1),
    st.sampled_from([None, 6]),
)
@settings(max_examples=100, deadline=None)
def test_each_start_has_a_bound_of_its_own(groups: list[Any], seed: int, room: int | None) -> None:
    """A fresh vector follows a breakdown: its components along what has not shown are bounded like the first's."""
    values = np.concatenate([np.full(count, centre) for centre, count in groups])
    operator = Dense(rotated(values, seed % 997))
    exact, vectors = np.linalg.eigh(operator.A)
    points = [float(value) for value in np.unique(values)]
    run = Lanczos(operator, 40, seed, room=room, watched=points)
    starts, shown = [operator.space.to_numpy(run.basis[0])], set[float]()
    while not run.full:
        if run.crowded:
            run.make_room(1, 1)
        run.step()
        if run.recurrence.betas[-1] == 0 and not run.exhausted:
            starts.append(operator.space.to_numpy(run.basis[-1]))
        shown |= {point for point in points if np.abs(run.ritz().values - point).min() < 1e-3}
        for point in set(points) - shown:
            logs = log_shares(run, point)
            assert len(logs) >= len(starts)
            for start, log in zip(starts, logs, strict=False):
                share = float(np.sum((vectors[:, np.abs(exact - point) < 1e-6].T @ start) ** 2))
                assert np.log(max(share, 1e-300)) <= log + 1e-6


def test_starts_asked_one_after_another_err_as_seldom_as_stated() -> None:
    """Bounds that are attained, P = 50: how often any number of starts up to eight claims less than a level."""
    rng, dim, count, level = np.random.default_rng(0), 50, 40_000, 0.05
    starts = rng.standard_normal((8, dim, count))
    logs = np.log(starts[:, 0] ** 2 / (starts**2).sum(1))
    claims = np.array([together(logs[:, i], dim) for i in range(count)])
    sd = np.sqrt(level / count)
    assert (claims <= np.log(level)).mean() <= level + 4 * sd
    # To multiply the probabilities would claim it nearly always.
    products = np.minimum(0, 0.5 * (np.log(2 * dim / np.pi) + logs)).sum(0)
    assert (products <= np.log(level)).mean() > 0.5


def test_the_words_say_what_is_not_excluded() -> None:
    assert concluded(0, 9, 1e-4) == Outcome("none found by 9 products in the complement", 1e-4, 9)
    near = concluded(2, 9, 0.5)
    assert near.words.endswith("next eigenvalue inward converged: only what lies 1 % of ‖H‖ beyond is excluded")
    assert near.probability is None


def test_restarts_lose_little_of_the_bound() -> None:
    """Outside the spectrum a basis of 9 vectors takes hardly more steps than all for the same bound."""
    values = np.concatenate([np.linspace(-1, 1, 400), [1.2, 1.4]])
    needed = []
    for room in (None, 9):
        run = Lanczos(Dense(rotated(values)), 200, 0, room=room, watched=[1.6])
        while log_share(run, 1.6) > -60:
            if run.crowded:
                run.make_room(2, 0)
            run.step()
        needed.append(run.steps)
    assert needed[0] > 20
    assert needed[1] <= 1.2 * needed[0]


def test_the_bound_is_attained_when_the_krylov_space_holds_everything() -> None:
    values = np.array([5.0, 2.0, 1.0, -1.0])
    operator = Dense(rotated(values))
    run = run_lanczos(operator, 3)
    start = operator.space.to_numpy(run.basis[0])
    exact, vectors = np.linalg.eigh(operator.A)
    shares = (vectors.T @ start) ** 2
    np.testing.assert_allclose([np.exp(log_share(run, v)) for v in exact], shares, rtol=1e-10)


def test_the_bound_against_its_naive_twin() -> None:
    """Σ p_k(λ)² = ‖(λ − T)⁻¹ e_m‖² β⁻²-scaled solves, from the dense tridiagonal matrix."""
    run = run_lanczos(Dense(rotated(np.linspace(-1, 1, 200))), 9)
    r = run.recurrence
    point = 1.3
    p = [1.0]
    for j in range(9):
        before = r.betas[j - 1] * p[j - 1] if j else 0.0
        p.append(((point - r.alphas[j]) * p[j] - before) / r.betas[j])
    assert log_share(run, point) == pytest.approx(-np.log(np.sum(np.square(p))), rel=1e-12)


def test_the_bound_does_not_overflow() -> None:
    run = run_lanczos(Dense(rotated(np.linspace(-1, 1, 300))), 250)
    alphas, betas = np.array(run.recurrence.alphas), np.array(run.recurrence.betas)
    for point in (1e3, 1e6, -1e9):  # far out the last polynomial is Π (λ − α)/β, and it is the whole sum
        assert log_share(run, point) == pytest.approx(-2 * np.sum(np.log(np.abs(point - alphas) / betas)), abs=1e-3)


def test_the_probability_is_that_of_a_random_start_with_so_small_a_share() -> None:
    values = np.concatenate([[2.0, 1.5], np.linspace(-1, 1, 60)])
    operator = Dense(rotated(values))
    exact, vectors = np.linalg.eigh(operator.A)
    pairs = Pairs(
        exact[[-1, -2]], [operator.space.from_numpy(vectors[:, i]) for i in (-1, -2)], np.zeros(2), np.zeros(2)
    )
    journal = MemoryJournal(operator.space)
    _, outcome = add_missed_copies(operator, pairs, Trust(0.0, 0.0, 0.0, 2.0), 2, 0, 1e-8, 60, 0, journal)
    r = journal.kept["check-0"][1]
    p = [0.0, 1.0]
    for alpha, beta, before in zip(r.alphas, r.betas, [0.0, *r.betas[:-1]], strict=True):
        p.append(((1.5 - alpha) * p[-1] - before * p[-2]) / beta)
    share = 1 / np.sum(np.square(p))
    assert outcome.probability == pytest.approx(4 / 3 * np.sqrt(2 * 62 / np.pi * share), rel=1e-9)  # see share.py


@pytest.mark.parametrize("dim", [2, 3, 50])
def test_small_shares_of_a_random_start_are_as_improbable_as_assumed(dim: int) -> None:
    starts = probe_entries(0, 0, "normal", 0, 20_000 * dim).reshape(-1, dim)
    shares = starts[:, 0] ** 2 / (starts**2).sum(1)
    for x in (1e-3, 1e-2):
        bound = np.sqrt(2 * dim * x / np.pi)
        frequency, sd = float((shares < x).mean()), np.sqrt(bound / 20_000)
        assert frequency <= bound + 4 * sd
        assert frequency >= 0.5 * bound  # no idle bound either


class Fixed(Dense):
    """A diagonal operator: starts are isotropic, so a rotation changes nothing but the cost."""

    def product(self, v: Array) -> Array:
        return self.A[0] * v


def test_copies_are_missed_no_more_often_than_allowed() -> None:
    """A double eigenvalue above the edge of a bulk: one miss in a thousand is allowed."""
    values = np.concatenate([[1.1, 1.1, 1.0], np.linspace(0, 0.9, 100)])
    operator = Fixed(values[None], TensorSpace(len(values), torch.float64))
    trust, eye, missed, claims = Trust(0.0, 0.0, 0.0, 1.1), np.eye(len(values)), 0, []
    for seed in range(100):
        found = Pairs(values[[0, 2]], [operator.space.from_numpy(eye[i]) for i in (0, 2)], np.zeros(2), np.zeros(2))
        pairs, outcome = add_missed_copies(operator, found, trust, 2, 0, 1e-3, 200, seed, SILENT)
        missed += bool(pairs.values[1] < 1.05)
        claims.append(outcome.probability)
    assert missed <= 2  # binomial: three or more of 100 at one in a thousand have a probability of 2e-4
    assert all(claim is None or claim <= ACCEPTED for claim in claims)
    assert sum(claim is not None for claim in claims) > 50


@pytest.mark.parametrize("seed", range(20))
def test_a_start_vector_in_a_flat_bulk_is_not_taken_for_convergence(seed: int) -> None:
    """I + 0.1 v vᵀ in many dimensions: one step meets the tolerance at 1 for most starts, the answer is 1.1."""
    v = np.random.default_rng(seed).standard_normal(2000)
    v /= np.linalg.norm(v)

    class Spike(Dense):
        def product(self, w: Array) -> Array:
            return w + 0.1 * v * (v @ w)

    pairs = top_eigenpairs(Spike(np.empty((2000, 0))), 1, 1e-3, seed=seed)
    assert pairs.eigenvalues[0] == pytest.approx(1.1, abs=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("values", "k"),
    [
        (np.ones(100), (3, 3)),
        (np.ones(100), (3, 0)),
        (np.zeros(100), (3, 3)),
        (-np.ones(100), (0, 4)),
        (np.repeat([0.0, 1.0], 50), (3, 3)),
        (np.repeat([0.0, 1.0], [99, 1]), (3, 3)),
        (np.repeat([0.0, 1.0], [1, 99]), (3, 3)),
        (np.repeat([-1.0, 1.0], 50), (10, 10)),
        (np.concatenate([np.full(40, 2.0), np.linspace(-1, 1, 60)]), (5, 2)),
        (np.concatenate([np.full(40, 2.0), np.linspace(-1, 1, 20), np.full(40, -2.0)]), (5, 5)),
        (np.concatenate([[3.0], np.full(40, 2.0), np.linspace(-1, 1, 59)]), (5, 0)),
        (np.repeat([5.0, 3.0, 1.0, 0.0], [4, 4, 4, 88]), (3, 0)),
        (np.repeat([5.0, 3.0, 1.0, 0.0], [4, 4, 4, 88]), (12, 0)),
        (np.concatenate([1 + 1e-9 * np.arange(50), np.linspace(-1, 0, 50)]), (5, 5)),
    ],
)
def test_it_ends_on_degenerate_spectra(values: Array, k: tuple[int, int], dtype: torch.dtype) -> None:
    operator = Dense(rotated(values), dtype=dtype)
    pairs = top_eigenpairs(operator, k, 1e-5, "BE")
    descending = np.sort(values)[::-1]
    exact = np.concatenate([descending[: k[0]], descending[100 - k[1] :]])
    assert np.abs(pairs.eigenvalues - exact).max() <= 1e-4
    check_verdicts(pairs, eps(dtype), np.abs(values).max())
    assert "not finished" not in pairs.trust.missed_copies
    V = pairs.eigenvectors.double().numpy()
    assert np.abs(V @ V.T - np.eye(len(V))).max() <= 100 * eps(dtype)
    # A search costs at most the complement, and each round but the last moves an edge outwards.
    assert operator.passes <= 2 * 100 + 30 * sum(k)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_other_end_sets_the_scale_of_rounding(dtype: torch.dtype) -> None:
    """Top pairs of a matrix whose low end is 10⁴ times larger: the check must not wait for less than rounding."""
    operator = Dense(rotated(np.concatenate([-np.geomspace(1e4, 1, 100), np.linspace(0, 1, 100)])), dtype=dtype)
    pairs = top_eigenpairs(operator, 3, 1e-3)
    assert pairs.status == "converged"
    assert pairs.trust.missed_copies.startswith("none found")
    np.testing.assert_allclose(pairs.eigenvalues, [1, 1 - 1 / 99, 1 - 2 / 99], atol=30 * eps(dtype) * 1e4 + 1e-5)


def test_every_missed_copy_takes_its_place_at_the_right_end() -> None:
    values = np.concatenate([[9, 9, 9, 7, 7, 5], np.linspace(-1, 1, 50), [-4, -6, -6, -8, -8]])
    operator = Dense(rotated(values))
    descending = np.sort(values)[::-1]
    # One copy of each, as a single start vector finds them.
    found = [0, 3, 5, 6, len(values) - 5, len(values) - 4, len(values) - 2]
    pairs, outcome = look(operator, found, 4, 3, 1e-8, 300)
    np.testing.assert_allclose(pairs.values, [9, 9, 9, 7, -6, -8, -8], atol=1e-6)
    assert outcome.words.startswith("5 found and added")  # the first copy of 7 gave way to the third of 9
    assert outcome.passes == operator.passes
    V = np.stack(pairs.vectors)
    true = np.linalg.norm(V @ operator.A - pairs.values[:, None] * V, axis=1)
    assert (true <= pairs.residuals + 1e-13 * 9).all()
    assert descending[3] == 7


def test_what_was_seen_when_the_steps_ran_out_is_not_shown_as_converged() -> None:
    """A Ritz value beyond the edge proves a miss, even before it has converged."""
    values = np.concatenate([[1.05, 1.05], np.linspace(-1, 1, 200)])
    operator = Dense(rotated(values))
    pairs, outcome = look(operator, [0, 2], 2, 0, 1e-8, 30)
    assert 1 < pairs.values[1] < 1.05 + 1e-12
    assert pairs.residuals[1] > 1e-8
    V = np.stack(pairs.vectors)
    true = np.linalg.norm(V @ operator.A - pairs.values[:, None] * V, axis=1)
    np.testing.assert_allclose(true, pairs.residuals, atol=1e-13)
    assert outcome.words == "1 found and added, check not finished after 30 steps: raise max_steps"
    assert outcome.probability is None
    assert outcome.passes == operator.passes == 30


def test_too_few_steps_to_decide_are_named() -> None:
    values = np.concatenate([[1.0001], np.linspace(-1, 1, 200)])
    operator = Dense(rotated(values))
    pairs, outcome = look(operator, [0], 1, 0, 1e-8, 5)
    assert pairs.values[0] == pytest.approx(1.0001)
    assert outcome == Outcome("check not finished after 5 steps: raise max_steps", None, 5)


def test_the_defect_of_the_product_is_added_to_residuals_found_here() -> None:
    values = np.concatenate([[9.0, 9.0], np.linspace(-1, 1, 50)])
    operator = Dense(rotated(values))
    exact, vectors = np.linalg.eigh(operator.A)
    pairs = Pairs(
        exact[[-1, -3]], [operator.space.from_numpy(vectors[:, i]) for i in (-1, -3)], np.zeros(2), np.zeros(2)
    )
    trust = Trust(1e-3, 0.0, 0.0, 9.0)
    merged, _ = add_missed_copies(operator, pairs, trust, 2, 0, 1e-8, 50, 0, SILENT)
    np.testing.assert_allclose(merged.values, [9, 9], atol=1e-6)
    assert merged.residuals.max() == pytest.approx(9e-3, rel=1e-6)
