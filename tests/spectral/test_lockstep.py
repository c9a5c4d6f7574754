"""Draws side by side: the bits of one after the other, a fair share of the journal; and draws until a target is met."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

import distlandscape as dl
from distlandscape.results import SpectralDensity
from distlandscape.spectral import lockstep, spectral_density, top_eigenpairs
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.journal import Recurrence
from distlandscape.spectral.space import Basis, Space
from distlandscape.spectral.stopping import FLOOR
from tests.spectral.helpers import DTYPES, Array, Dense, MemoryJournal, Stop, eps, nothing_known, rotated, spaces

BULK = np.linspace(-1, 1, 150)
VALUES = np.concatenate([BULK, [5.0, 8.0, -6.0]])


def bits(density: SpectralDensity) -> tuple[bytes, ...]:
    return density.nodes.tobytes(), density.weights.tobytes(), density.draw.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("known", [False, True])
def test_the_bits_of_one_after_the_other(known: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    A, found = rotated(VALUES), {}
    for size, passes in ((lockstep.BYTES, 24 - 12 * known), (0, 48)):
        monkeypatch.setattr(lockstep, "BYTES", size)
        for name, space in spaces(len(A), dtype).items():
            operator = Dense(A, space)
            pairs = top_eigenpairs(Dense(A, space), (2, 1), 1e-4, "BE") if known else None
            density = spectral_density(operator, 4, 12, known=pairs)
            assert density.passes == operator.passes == passes
            found[size, name] = bits(density)
    assert len(set(found.values())) == 1


def test_the_bits_of_one_after_the_other_on_a_net(monkeypatch: pytest.MonkeyPatch) -> None:
    store = dl.data.load_source("digits", samples=100, blocks=2)
    H = dl.Hessian(dl.Objective(dl.models.build_model("mlp", (1, 8, 8), 10, {"hidden": [8]}, seed=0), store))
    together = spectral_density(H, 4, 12)
    passes = H.passes
    monkeypatch.setattr(lockstep, "BYTES", 0)
    assert bits(spectral_density(H, 4, 12)) == bits(together)
    assert (passes, H.passes) == (24, 24 + 48)


def test_groups_fit_into_memory() -> None:
    assert lockstep.group_size(TensorSpace(10**6, torch.float32), 81) == 2**31 // (4 * 81 * 10**6) == 6
    assert lockstep.group_size(TensorSpace(10**6, torch.float64), 81) == 3
    assert lockstep.group_size(TensorSpace(10**8, torch.float32), 81) == 1


def test_a_draw_that_ends_early_leaves_the_others_alone() -> None:
    """On three eigenspaces every draw ends after three steps; the passes do, too."""
    operator = Dense(rotated(np.repeat([1.0, 2.0, 4.0], 30)))
    density = spectral_density(operator, 5, 40, known=nothing_known(90))
    assert operator.passes == density.passes <= 5
    np.testing.assert_allclose(np.unique(density.nodes[density.draw >= 0].round(6)), [1, 2, 4])


class Seldom(MemoryJournal):
    """Keeps every draw now and then, each in a rhythm of its own: as if the disk were busy for some of them."""

    def __init__(self, space: Space, every: int) -> None:
        super().__init__(space)
        self.every, self.asked = every, dict[str, int]()

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        self.asked[name] = self.asked.get(name, 0) + 1
        if self.asked[name] % (self.every + int(name[-1])) == 0:
            super().commit(name, basis, recurrence)


@pytest.mark.parametrize("every", [1, 2, 4])
def test_draws_kept_unevenly_resume_to_the_same_bits(every: int) -> None:
    A = rotated(BULK)
    known = nothing_known(len(A))
    whole = spectral_density(Dense(A), 4, 40, known=known)
    operator = Dense(A)
    operator.fail_at = 38
    journal = Seldom(operator.space, every)
    with pytest.raises(Stop):
        spectral_density(operator, 4, 40, known=known, journal=journal)
    kept = [len(journal.kept[f"draw-{d}"][1].alphas) for d in range(4)]
    assert 0 < min(kept) < max(kept) <= 37
    operator.fail_at, operator.passes = None, 0
    resumed = spectral_density(operator, 4, 40, known=known, journal=journal)
    assert bits(resumed) == bits(whole)
    assert resumed.passes == whole.passes
    assert operator.passes == 40 - min(kept)


def test_progress_names_the_draws() -> None:
    operator = Dense(rotated(VALUES))
    journal = MemoryJournal(operator.space)
    spectral_density(operator, 3, 5, journal=journal)
    assert [note for _, _, note in journal.notes][::5] == ["draw 1, step 1 of 5", "draws 2–3, step 1 of 5"]


def test_the_error_of_two_draws_is_half_their_distance() -> None:
    operator = Dense(rotated(BULK))
    for known in (None, top_eigenpairs(operator, 2, 1e-6)):
        density = spectral_density(operator, 2, 15, known=known)
        mine = [(density.nodes[density.draw == d], density.weights[density.draw == d]) for d in range(2)]
        (a, u), (b, v) = mine
        share = 2 * u.sum()
        exact = share * wasserstein_distance(a, b, u, v) / 2 / (density.nodes[-1] - density.nodes[0])
        assert density.error() == pytest.approx(exact, rel=1e-9)
    assert np.isnan(spectral_density(operator, 1, 15).error())
    everything = top_eigenpairs(Dense(rotated([1.0, 2.0])), 2, 1e-8)
    assert spectral_density(Dense(rotated([1.0, 2.0])), 2, 5, known=everything).error() == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rotate", [False, True])
def test_a_range_at_rounding_level_counts_as_zero(rotate: bool, dtype: torch.dtype) -> None:
    """Nodes of 3·I lie within rounding of 3, some processors' on both sides of it: nothing is left to scatter."""
    density = spectral_density(Dense(rotated(np.full(9, 3.0)) if rotate else 3 * np.eye(9), dtype=dtype), 4, 5)
    assert density.error() == 0
    assert np.ptp(density.nodes) == 0
    assert density.nodes[0] == pytest.approx(3, rel=FLOOR * eps(dtype))
    # A hundred times what counts as rounding is a range.
    apart = spectral_density(Dense(rotated(np.linspace(3, 3 * (1 + 100 * FLOOR * eps(dtype)), 9)), dtype=dtype), 4, 5)
    assert np.ptp(apart.nodes) > 0


def test_the_error_is_the_distance_that_is_there() -> None:
    """Over seeds, the distance to the truth: the stated error, times √(2/π) for a normal, with what steps leave."""
    rng = np.random.default_rng(0)
    values = rng.gamma(0.5, size=120)
    operator, width = Dense(rotated(values)), np.ptp(values)
    known = nothing_known(len(values))
    found = [spectral_density(operator, 4, 40, seed, known=known) for seed in range(8)]
    there = [wasserstein_distance(values, d.nodes, None, d.weights) / width for d in found]
    assert 0.6 < np.mean([d.error() for d in found]) * np.sqrt(2 / np.pi) / np.mean(there) < 1.4


@pytest.mark.parametrize("known", [False, True])
def test_draws_are_added_until_the_target_is_met(known: bool) -> None:
    values = np.concatenate([np.random.default_rng(1).gamma(0.5, size=100), [40.0]])
    operator = Dense(rotated(values))
    pairs = top_eigenpairs(operator, 1, 1e-6) if known else None
    seen: list[int] = []
    for target in (0.02, 0.0005):
        before = operator.passes
        density = spectral_density(operator, 1, 25, target=target, max_draws=64, known=pairs)
        assert density.status == "converged"
        assert density.error() <= target
        assert density.passes == operator.passes - before
        seen.append(density.draws)
    assert seen == sorted(seen)
    assert seen[0] == 2
    assert seen[-1] > 4
    fixed = spectral_density(operator, seen[-1] + (not known), 25, known=pairs)
    assert bits(fixed) == bits(density)  # the same draws, however they came to be


def test_a_target_out_of_reach_is_said() -> None:
    density = spectral_density(Dense(rotated(BULK)), 2, 10, target=1e-6, max_draws=5)
    assert density.draws == 5
    assert density.status.startswith("the error after 5 draws is 0.0")
    assert density.status.endswith("of the range, above 1e-06: raise max_draws or the target")


def test_nothing_left_to_draw_meets_any_target() -> None:
    values: Array = np.array([1.0, 2.0, 3.0])
    assert spectral_density(Dense(rotated(values)), 2, 5, target=0.1).status == "converged"
