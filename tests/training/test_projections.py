"""Planes: adjoint products, unit columns over all parameters, the same numbers at any chunking."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distlandscape.errors import InputError
from distlandscape.training.projections import (
    KINDS,
    Given,
    choose_kind,
    dense,
    draws,
    gram_deviation,
    hadamard,
    make_projection,
    sparse,
    trajectory_directions,
)
from distlandscape.training.projections import fastfood as fast

SIZES = st.integers(1, 700).flatmap(lambda P: st.tuples(st.just(P), st.integers(1, P)))


def matrix(projection, dtype=torch.float64):
    """A, column by column."""
    return projection.lift(torch.eye(projection.dim, dtype=dtype)).T


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@example((1, 1), 0)
@example((700, 1), 1)
@example((700, 700), 2)
@example((1025, 1025), 3)  # beyond a power of two, and the least block of Fastfood
@given(SIZES, st.integers(0, 2**32))
def test_adjoint_and_unit_columns(kind, sizes, seed):
    P, d = sizes
    plane = make_projection(kind, P, d, seed)
    torch.manual_seed(seed)
    for dtype, tol in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        w, g = torch.randn(3, d, dtype=dtype), torch.randn(3, P, dtype=dtype)
        lifted, pulled = plane.lift(w), plane.pull(g)
        assert lifted.dtype == pulled.dtype == dtype
        assert (lifted.shape, pulled.shape) == ((3, P), (3, d))
        gap = ((lifted * g).double().sum(1) - (w * pulled).double().sum(1)).abs()
        assert float((gap / (lifted.double().norm(dim=1) * g.double().norm(dim=1)).clamp(min=1)).max()) <= tol
        for one, many, rows in ((plane.lift, lifted, w), (plane.pull, pulled, g)):
            assert torch.allclose(one(rows[1]), many[1], rtol=0, atol=float(many.abs().max()) * tol)
    assert float((matrix(plane).norm(dim=0) - 1).abs().max()) <= 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_a_plane_is_a_function_of_kind_sizes_and_seed(kind):
    one, again, other = (make_projection(kind, 300, 20, seed) for seed in (5, 5, 6))
    assert torch.equal(matrix(one), matrix(again))
    assert float((matrix(one) - matrix(other)).norm()) > 1


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_made_anew_for_every_product_or_kept_gives_the_same_bits(kind):
    kept, anew = (make_projection(kind, 3000, 700, 2, memory) for memory in (2**30, 0))
    assert kept._kept is not None
    assert anew._kept is None
    w, g = torch.randn(700), torch.randn(3000)
    assert torch.equal(kept.lift(w), anew.lift(w))
    assert torch.equal(kept.pull(g), anew.pull(g))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(SIZES, st.integers(0, 2**32), st.integers(0, 10**6))
def test_numbers_do_not_depend_on_the_memory_given(kind, sizes, seed, memory):
    one, other = make_projection(kind, *sizes, seed), make_projection(kind, *sizes, seed, memory)
    g, w = torch.randn(sizes[0]), torch.randn(sizes[1])
    assert torch.equal(one.lift(w), other.lift(w))
    assert torch.equal(one.pull(g), other.pull(g))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [1, 100, 2**12])
def test_how_a_product_is_cut_moves_it_by_rounding_alone(kind, chunk, monkeypatch):
    torch.manual_seed(0)
    g, w = torch.randn(1500, dtype=torch.float64), torch.randn(90, dtype=torch.float64)
    whole = make_projection(kind, 1500, 90, 3)
    lifted, pulled = whole.lift(w), whole.pull(g)
    for module, name in ((dense, "CHUNK"), (sparse, "CHUNK"), (hadamard, "CACHED")):
        monkeypatch.setattr(module, name, chunk)
    cut = make_projection(kind, 1500, 90, 3)
    assert torch.allclose(cut.lift(w), lifted, rtol=0, atol=1e-13)
    assert torch.allclose(cut.pull(g), pulled, rtol=0, atol=1e-13)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 2**32))
def test_normals_do_not_depend_on_where_the_range_is_cut(start, length, seed):
    whole = draws.normals(seed, draws.NORMAL, 0, start + length)
    assert torch.equal(whole[start:], draws.normals(seed, draws.NORMAL, start, start + length))
    assert np.array_equal(draws.raw_words(seed, 7, 0, start + 3)[start:], draws.raw_words(seed, 7, start, start + 3))


def test_draws_have_the_moments_they_should():
    normals = draws.normals(0, draws.NORMAL, 0, 10**6).double()
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        spread = math.sqrt({1: 1, 2: 2, 3: 15, 4: 96}[power] / 10**6)
        assert abs(float((normals**power).mean()) - moment) < 4.5 * spread
    neighbours = float((normals[:-1] * normals[1:]).mean())
    assert abs(neighbours) < 4.5e-3
    signs = draws.signs(0, draws.SIGN, 10**6).double()
    assert set(signs.unique().tolist()) == {-1, 1}
    assert abs(float(signs.mean())) < 4.5e-3


def test_dense_is_the_matrix_of_its_normals_over_their_norms():
    P, d = 2 * dense.CHUNK // 300 + 3, 300
    raw = draws.normals(4, draws.NORMAL, 0, P * d).view(P, d).double()
    w, g = torch.randn(d, dtype=torch.float64), torch.randn(P, dtype=torch.float64)
    plane = make_projection("dense", P, d, 4)
    assert torch.allclose(plane.lift(w), raw / raw.norm(dim=0) @ w, rtol=1e-11, atol=1e-11)
    assert torch.allclose(plane.pull(g), (raw / raw.norm(dim=0)).T @ g, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("P", "d"), [(1, 1), (97, 10), (1000, 999), (1000, 37)])
def test_entries_of_sparse_and_hashed(P, d):
    sparse, hashed = (matrix(make_projection(kind, P, d, 1)) for kind in ("sparse", "hashed"))
    assert ((sparse != 0).sum(0) == round(math.sqrt(P))).all()
    assert ((hashed != 0).sum(1) == 1).all()
    sizes = (hashed != 0).sum(0)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.min() >= 1


@pytest.mark.parametrize(("kind", "P", "d"), [("hashed", 500, 499), ("cosine", 500, 499), ("hadamard", 512, 200)])
def test_orthonormal_planes(kind, P, d):
    A = matrix(make_projection(kind, P, d, 1))
    assert torch.allclose(A.T @ A, torch.eye(d, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_entries_spread_over_all_parameters(kind):
    """No row is left out, and a random direction of the plane is as long in the first half as in the second."""
    A = matrix(make_projection(kind, 4096, 600, 3))
    assert int((A.abs().sum(1) == 0).sum()) <= (0 if kind != "sparse" else 4)
    halves = A[:2048].square().sum(), A[2048:].square().sum()
    assert float(halves[0] / halves[1]) == pytest.approx(1, abs=0.05)


def test_gram_deviation_is_what_it_says():
    for kind in KINDS:
        plane = make_projection(kind, 400, 50, 1)
        A = matrix(plane)
        exact = float((A.T @ A - torch.eye(50, dtype=torch.float64)).norm()) / math.sqrt(50)
        assert gram_deviation(plane, probes=400) == pytest.approx(exact, rel=0.12, abs=1e-12)


def test_gram_of_gaussian_columns_is_about_the_root_of_d_over_p():
    """Of Fastfood, whose blocks hold Σ g² h h', √2 times that: the variance of g² is 2."""
    for kind, share in (("dense", 1), ("fastfood", 2)):
        plane = make_projection(kind, 8192, 200, 0)
        assert gram_deviation(plane, 32) == pytest.approx(math.sqrt(share * 200 / 8192), rel=0.1)


@pytest.mark.parametrize("bits", range(11))
def test_hadamard_against_its_definition(bits):
    n = 2**bits
    H = np.array([[(-1) ** (i & j).bit_count() for j in range(n)] for i in range(n)], dtype=float)
    x = torch.randn(3, n, dtype=torch.float64)
    assert torch.allclose(hadamard.hadamard(x), x @ torch.from_numpy(H), rtol=0, atol=1e-11)
    assert torch.allclose(hadamard.hadamard(hadamard.hadamard(x)), n * x, rtol=0, atol=1e-9)


def test_hadamard_of_many_rows_is_that_of_each():
    x = torch.randn(300, 1024)
    assert torch.equal(hadamard.hadamard(x)[250:], hadamard.hadamard(x[250:]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 8), st.data())
def test_norms_of_a_cut_block_against_the_block_itself(bits, data):
    n = 2**bits
    rows = data.draw(st.integers(0, n))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    g, places = random.standard_normal(n), random.permutation(n).astype(np.int32)
    H = hadamard.hadamard(torch.eye(n, dtype=torch.float64)).numpy()
    block = (H * g) @ H[places]
    assert np.allclose(fast.cut_norms(g, places, rows), np.square(block[:rows]).sum(0), rtol=1e-11, atol=1e-11)


def test_fastfood_is_its_product_of_matrices():
    plane = make_projection("fastfood", 2500, 30, 8)
    n = plane._n
    H = hadamard.hadamard(torch.eye(n, dtype=torch.float64))
    blocks = []
    for b in range(3):
        places = plane._places[b * n : (b + 1) * n].long() - b % plane._group * n
        assert sorted(places.tolist()) == list(range(n))
        blocks.append((H * plane._normals_bn[b].double()) @ (H * plane._signs_bn[b].double())[places])
    naive = torch.cat(blocks)[:2500, :30]
    assert torch.allclose(matrix(plane), naive / naive.norm(dim=0), rtol=0, atol=1e-12)


def test_given_directions():
    rows = torch.randn(4, 50, dtype=torch.float64)
    plane = Given(rows)
    assert torch.allclose(matrix(plane), (rows / rows.norm(dim=1, keepdim=True)).T)
    for bad, message in ((rows[0], "must be rows"), (torch.zeros(2, 5), "zero"), (torch.randn(5, 2), "does not fit")):
        with pytest.raises(InputError, match=message):
            Given(bad)


def test_directions_of_a_trajectory_span_it():
    start, moves = torch.randn(60, dtype=torch.float64), torch.randn(3, 60, dtype=torch.float64)
    points = torch.stack([start, *(start + torch.randn(3, dtype=torch.float64) @ moves for _ in range(8))])
    plane = Given(trajectory_directions(points, 3))
    inside = plane.lift(plane.pull(points - start))
    assert torch.allclose(inside, points - start, rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="spans 3 dimensions, not d=4"):
        trajectory_directions(points, 4)


def test_auto_says_why():
    assert choose_kind(1000, 10)[0] == "dense"
    assert choose_kind(10**6, 500)[0] == "fastfood"
    kind, why = choose_kind(10**6, 500, memory=10**6)
    assert kind == "hashed"
    assert "more than the 1,000,000 given" in why
    assert choose_kind(10**6, 600_000)[0] == "hashed"
    assert make_projection("auto", 10**4, 5000, 0).kind == "fastfood"


@pytest.mark.parametrize("kind", ["auto", *KINDS])
@pytest.mark.parametrize("dim", [0, -1, 101])
def test_dimensions_that_do_not_fit(kind, dim):
    with pytest.raises(InputError, match=f"dimension d={dim} does not fit 100 parameters; give 1 to 100"):
        make_projection(kind, 100, dim, 0)


def test_bad_input():
    with pytest.raises(InputError, match="'walsh' is unknown; known: auto, dense"):
        make_projection("walsh", 100, 5, 0)
    with pytest.raises(InputError, match=r"lift takes \(5,\) or rows \(B, 5\), not \(6,\)"):
        make_projection("hashed", 100, 5, 0).lift(torch.zeros(6))
    with pytest.raises(InputError, match=r"pull takes \(100,\)"):
        make_projection("hashed", 100, 5, 0).pull(torch.zeros(2, 3, 100))
