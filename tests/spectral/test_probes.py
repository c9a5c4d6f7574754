"""Probe entries: indexed, independent of how they are asked for, and distributed as they should be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from distlandscape.errors import InputError
from distlandscape.spectral.certify import CERTIFICATE
from distlandscape.spectral.copies import CHECK
from distlandscape.spectral.density import DRAW
from distlandscape.spectral.lanczos import FRESH
from distlandscape.spectral.probes import probe_entries
from distlandscape.spectral.space import ProbeKind
from distlandscape.spectral.trace import PROBE
from tests.spectral.helpers import DTYPES, spaces

KINDS = st.sampled_from(["normal", "sign"])
WHOLE = 600
MASK = 2**64 - 1


def philox(key: tuple[int, int], counter: int) -> list[int]:
    """Philox 4×64-10 of Salmon et al. 2011, written from the paper."""
    x, k = [counter, 0, 0, 0], list(key)
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [(right >> 64) ^ x[1] ^ k[0], right & MASK, (left >> 64) ^ x[3] ^ k[1], left & MASK]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
    return x


def naive_words(seed: int, probe: int, count: int) -> list[int]:
    """The stream of words, one by one; numpy counts up before its first output."""
    return [philox((seed, probe), 1 + i // 4)[i % 4] for i in range(count)]


def test_philox_known_answer() -> None:
    # The published test vector of Random123 for counter 0 and key 0.
    assert philox((0, 0), 0) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


@pytest.mark.parametrize(("seed", "probe"), [(0, 0), (7, 3), (2**63 + 5, 2**61 + 1)])
def test_words_are_those_of_the_paper_and_of_numpy(seed: int, probe: int) -> None:
    words = naive_words(seed, probe, 22)
    raw = np.random.Philox(key=np.array([seed, probe], dtype=np.uint64)).random_raw(22)
    assert raw.tolist() == words
    signs = [1.0 if word >> 63 else -1.0 for word in words]
    assert probe_entries(seed, probe, "sign", 0, 22).tolist() == signs
    uniform = [((word >> 11) + 0.5) / 2**53 for word in words]
    for i in range(0, 22, 2):
        radius, angle = np.sqrt(-2 * np.log(uniform[i])), 2 * np.pi * uniform[i + 1]
        expected = [radius * np.cos(angle), radius * np.sin(angle)]
        np.testing.assert_allclose(probe_entries(seed, probe, "normal", i, i + 2), expected, rtol=0, atol=1e-14)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), KINDS, st.integers(0, WHOLE), st.integers(0, WHOLE))
def test_any_range_is_a_piece_of_the_whole(seed: int, probe: int, kind: ProbeKind, start: int, stop: int) -> None:
    whole = probe_entries(seed, probe, kind, 0, WHOLE)
    assert probe_entries(seed, probe, kind, start, stop).tobytes() == whole[start:stop].tobytes()


@given(st.integers(2**20, 2**45), st.lists(st.integers(1, 9), min_size=1, max_size=8), KINDS)
def test_cutting_anywhere_far_out_changes_nothing(start: int, lengths: list[int], kind: ProbeKind) -> None:
    cuts = np.cumsum([start, *lengths])
    pieces = [probe_entries(1, 2, kind, int(a), int(b)) for a, b in itertools.pairwise(cuts)]
    assert np.concatenate(pieces).tobytes() == probe_entries(1, 2, kind, start, int(cuts[-1])).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["normal", "sign"])
@pytest.mark.parametrize("dim", [1, 5, 17, 1000, 5003])
def test_every_sharding_sees_the_same_vector(dim: int, kind: ProbeKind, dtype: object) -> None:
    seen = {s.to_numpy(s.random(3, 4, kind)).tobytes() for s in spaces(dim, dtype).values()}  # type: ignore[arg-type]
    assert len(seen) == 1
    (content,) = seen
    vector = np.frombuffer(content, np.float32 if len(content) == 4 * dim else np.float64)
    np.testing.assert_array_equal(vector, probe_entries(3, 4, kind, 0, dim).astype(vector.dtype))


def test_normals_are_normal_and_uncorrelated() -> None:
    n = 200_000
    z = probe_entries(11, 0, "normal", 0, n)
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs((z**2).mean() - 1) < 4 * np.sqrt(2 / n)
    assert abs((z**3).mean()) < 4 * np.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / n)
    for lag in (1, 2, 3, 4):
        assert abs(z[:-lag] @ z[lag:]) / n < 4 / np.sqrt(n)
    assert abs(np.corrcoef(z[0::2] ** 2, z[1::2] ** 2)[0, 1]) < 4 / np.sqrt(n / 2)
    assert kstest(z, "norm").pvalue > 1e-3


def test_signs_are_fair_and_uncorrelated() -> None:
    n = 200_000
    z = probe_entries(11, 0, "sign", 0, n)
    assert set(np.unique(z)) == {-1.0, 1.0}
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert all(abs(z[:-lag] @ z[lag:]) / n < 4 / np.sqrt(n) for lag in (1, 2, 3, 4))


@pytest.mark.parametrize("kind", ["normal", "sign"])
def test_other_seeds_and_probes_are_other_streams(kind: ProbeKind) -> None:
    n = 20_000
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (0, DRAW), (0, CHECK), (0, CERTIFICATE), (0, PROBE), (0, 4 * FRESH)]
    Z = np.stack([probe_entries(seed, probe, kind, 0, n) for seed, probe in keys])
    overlaps = Z @ Z.T / n - np.eye(len(keys))
    assert np.abs(overlaps - np.diag(np.diag(overlaps))).max() < 4.5 / np.sqrt(n)


def test_uses_of_probe_numbers_do_not_overlap() -> None:
    most = 2**20  # rounds, draws, probes, and basis vectors before a breakdown
    starts = sorted([0, DRAW, CERTIFICATE, CHECK, PROBE])
    reach = most + FRESH * most
    assert all(a + reach < b for a, b in itertools.pairwise(starts))
    assert PROBE + reach < 2**64


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match="seed"):
        probe_entries(seed, 0, "normal", 0, 4)
