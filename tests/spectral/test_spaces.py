"""One contract, three holders of vectors: the same bits in the driver and in two or three slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distlandscape.spectral import slices
from distlandscape.spectral.space import Basis, Space
from tests.spectral.helpers import DTYPES, eps, rows, spaces

DIMS = [1, 5, 17, 100, 5003]  # up to 17 leaves segments empty, 5003 has eight with a short last one


def fill(space: Space, count: int, capacity: int) -> Basis:
    """An orthonormal basis of ``count`` vectors from random ones."""
    basis = space.basis(capacity)
    for j in range(count):
        w, _, norm = basis.orthogonalize(space.random(5, j, "normal"))
        basis.append(w, 1 / norm)
    return basis


def same(results: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Assert that all are equal to the bit; returns the first."""
    for other in results[1:]:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in results[0]]
    return results[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", DIMS)
class TestSpace:
    def test_round_trip(self, dim: int, dtype: torch.dtype) -> None:
        a = np.random.default_rng(0).standard_normal(dim)
        for space in spaces(dim, dtype).values():
            assert space.dim == dim
            assert space.eps == eps(dtype)
            back = space.to_numpy(space.from_numpy(a))
            np.testing.assert_array_equal(back, a.astype(back.dtype))
            assert back.dtype == (np.float32 if dtype == torch.float32 else np.float64)

    def test_from_numpy_keeps_its_own_copy(self, dim: int, dtype: torch.dtype) -> None:
        for space in spaces(dim, dtype).values():
            a = np.ones(dim, np.float32 if dtype == torch.float32 else np.float64)
            v = space.from_numpy(a)
            a[:] = 7
            assert (space.to_numpy(v) == 1).all()

    def test_dots(self, dim: int, dtype: torch.dtype) -> None:
        results, exact = [], np.empty(0)
        for space in spaces(dim, dtype).values():
            xs = [space.random(0, j, "normal") for j in range(3)]
            ys = [space.random(1, j, "normal") for j in range(2)]
            X, Y = (np.stack([space.to_numpy(v) for v in vs]).astype(np.float64) for vs in (xs, ys))
            exact, bound = X @ Y.T, dim * eps(torch.float64) * (np.abs(X) @ np.abs(Y).T)
            dots = space.dots(xs, ys)
            assert dots.dtype == np.float64
            assert (np.abs(dots - exact) <= bound).all()
            results.append([dots])
        assert same(results)[0].shape == (3, 2)

    def test_combine(self, dim: int, dtype: torch.dtype) -> None:
        C, results = np.random.default_rng(0).standard_normal((4, 3)), []
        for space in spaces(dim, dtype).values():
            xs = [space.random(0, j, "normal") for j in range(3)]
            X = np.stack([space.to_numpy(v) for v in xs]).astype(np.float64)
            out = np.stack([space.to_numpy(v) for v in space.combine(xs, C)])
            slack = eps(torch.float64) * 4 * (np.abs(C) @ np.abs(X))
            assert (np.abs(out - C @ X) <= eps(dtype) / 2 * np.abs(C @ X) + slack).all()
            results.append([out])
        same(results)

    def test_orthogonalize(self, dim: int, dtype: torch.dtype) -> None:
        count, results = min(dim - 1, 20), []
        for space in spaces(dim, dtype).values():
            basis = fill(space, count, 30)
            w = space.random(9, 0, "normal")
            before = space.to_numpy(w).copy()
            rest, coefficients, norm = basis.orthogonalize(w)
            assert space.to_numpy(w).tobytes() == before.tobytes()  # the vector given is not touched
            r = space.to_numpy(rest).astype(np.float64)
            size = np.linalg.norm(before.astype(np.float64))
            assert abs(norm - np.linalg.norm(r)) <= 4 * eps(torch.float64) * size
            if count:
                Q = rows(space, basis)
                # Nothing of the basis is left, though its vectors are orthonormal to working precision only.
                assert np.abs(Q @ r).max() <= 20 * (eps(dtype) ** 2 + eps(torch.float64)) * count * size
                assert np.abs(coefficients @ Q + r - before).max() <= 20 * eps(torch.float64) * size
            results.append([r, coefficients, np.array(norm)])
        same(results)

    def test_basis(self, dim: int, dtype: torch.dtype) -> None:
        count, results = min(dim, 20), []
        C = np.random.default_rng(0).standard_normal((3, count))
        for space in spaces(dim, dtype).values():
            basis = fill(space, count, count)
            assert basis.size == count
            Q = rows(space, basis)
            assert np.abs(Q @ Q.T - np.eye(count)).max() <= 4 * eps(dtype)
            assert space.to_numpy(basis[-1]).tobytes() == space.to_numpy(basis[count - 1]).tobytes()
            with pytest.raises(IndexError):
                basis[count]
            w = space.random(9, 1, "normal")
            dots = basis.dots(w)
            exact = Q @ space.to_numpy(w).astype(np.float64)
            assert np.abs(dots - exact).max() <= dim * eps(torch.float64) * np.abs(Q).sum(1).max() * 5
            Y = np.stack([space.to_numpy(v) for v in basis.combine(C)])
            assert np.abs(Y - C @ Q).max() <= (eps(dtype) + 20 * eps(torch.float64)) * np.abs(C).sum(1).max()
            with pytest.raises(IndexError, match="full"):
                basis.append(w, 1.0)
            results.append([Q, dots, Y])
        same(results)

    def test_compress(self, dim: int, dtype: torch.dtype) -> None:
        count, results = min(dim, 12), []
        if count < 3:
            return
        S = np.linalg.qr(np.random.default_rng(0).standard_normal((count - 1, count - 1)))[0][: count // 2]
        for space in spaces(dim, dtype).values():
            basis = fill(space, count, count)
            Q = rows(space, basis)
            basis.compress(S)
            assert basis.size == count // 2 + 1
            new = rows(space, basis)
            assert np.abs(new[:-1] - S @ Q[:-1]).max() <= eps(dtype) + 20 * eps(torch.float64)
            assert new[-1].tobytes() == Q[-1].tobytes()
            basis.append(space.random(2, 2, "normal"), 2.0)  # the room that became free can be used
            assert basis.size == count // 2 + 2
            results.append([new, rows(space, basis)])
        same(results)

    def test_save_with_one_sharding_load_with_any(self, dim: int, dtype: torch.dtype, tmp_path: Path) -> None:
        count = min(dim, 7)
        for writer, space in spaces(dim, dtype).items():
            folder = tmp_path / writer
            growing = space.basis(count)
            whole = fill(space, count, count)
            saved = 0
            for j in range(count):  # in pieces of one and two vectors
                growing.append(whole[j], 1.0)
                if j % 3 != 1 or j == count - 1:
                    digests = growing.save(folder, saved).result()
                    assert all((folder / name).exists() for name in digests)
                    saved = growing.size
            for other in spaces(dim, dtype).values():
                for size in (count, max(count - 1, 1)):
                    loaded = other.basis(count)
                    loaded.load(folder, size)
                    assert loaded.size == size
                    assert rows(other, loaded).tobytes() == rows(space, whole)[:size].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_chunks_give_what_one_gives(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    dim, C = 3000, np.random.default_rng(0).standard_normal((3, 10))
    S = np.linalg.qr(C[:, :9].T)[0].T

    def everything() -> list[np.ndarray]:
        space = spaces(dim, dtype)["two slices"]
        basis = fill(space, 10, 10)
        w, coefficients, norm = basis.orthogonalize(space.random(3, 3, "normal"))
        combined = np.stack([space.to_numpy(v) for v in basis.combine(C)])
        basis.compress(S)
        return [space.to_numpy(w), coefficients, np.array(norm), combined, rows(space, basis)]

    one = everything()
    monkeypatch.setattr(slices, "CHUNK", 100)
    for a, b in zip(one, everything(), strict=True):
        assert np.abs(a - b).max() <= 100 * eps(dtype) * max(1.0, float(np.abs(a).max()))
    # Column by column the same sums are made; only the coefficients add up over chunks in another order.


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_nearly_dependent_vector_is_orthogonal_after_two_sweeps(dtype: torch.dtype) -> None:
    for space in spaces(500, dtype).values():
        basis = fill(space, 30, 31)
        nearly = space.combine([basis[4], space.random(8, 8, "normal")], np.array([[1.0, 1e-4 / np.sqrt(500)]]))[0]
        w, _, norm = basis.orthogonalize(nearly)
        basis.append(w, 1 / norm)
        Q = rows(space, basis)
        assert norm < 2e-4  # one sweep alone leaves eps/1e-4 here
        assert np.abs(Q @ Q.T - np.eye(31)).max() <= 4 * eps(dtype)
