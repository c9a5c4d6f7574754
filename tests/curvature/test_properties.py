"""What holds for any vectors and any cut: symmetry, linearity, definiteness, invariance."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner
from tests.helpers import Dense, relative, samples

C = 3
P = 43
EPS = 2.0**-52
settings.register_profile("operators", deadline=None, max_examples=25)
settings.load_profile("operators")

vectors = arrays(np.float64, P, elements=st.floats(-1e3, 1e3, allow_subnormal=False, width=32))
scalars = st.floats(-1e3, 1e3, allow_subnormal=False, width=32)
operators = pytest.mark.parametrize("operator", [dl.Hessian, dl.GaussNewton])


@functools.cache
def setting():
    x, y = samples((5,), C)
    model = build_model("mlp", (5,), C, {"hidden": [4, 2], "activation": "gelu"}, seed=5)
    return model, x, y


@functools.cache
def built(operator):
    model, x, y = setting()
    H = operator(dl.Objective(model, (x, y), dtype=torch.float64), LocalRunner(micro_batch=10))
    assert H.shape == (P, P)
    return H, float(torch.linalg.matrix_norm(H.apply(torch.eye(P)), 2))


def rounding(norm, *parts):
    """A bound on rounding: N P terms, each off by a few eps of its size."""
    return 1e3 * EPS * norm * float(np.prod([np.linalg.norm(part) for part in parts])) + 1e-300


@operators
@given(u=vectors, v=vectors)
def test_symmetric(operator, u, v):
    H, norm = built(operator)
    assert abs(u @ (H @ v).numpy() - v @ (H @ u).numpy()) <= rounding(norm, u, v)


@operators
@given(u=vectors, v=vectors, a=scalars, b=scalars)
def test_linear(operator, u, v, a, b):
    H, norm = built(operator)
    together = (H @ (a * u + b * v)).numpy()
    apart = a * (H @ u).numpy() + b * (H @ v).numpy()
    size = abs(a) * np.linalg.norm(u) + abs(b) * np.linalg.norm(v)
    assert np.linalg.norm(together - apart) <= rounding(norm, np.array([size]))


@given(v=vectors)
def test_gauss_newton_is_positive_semidefinite(v):
    G, norm = built(dl.GaussNewton)
    assert v @ (G @ v).numpy() >= -rounding(norm, v, v)


@given(v=vectors, seed=st.integers(0, 2**32 - 1))
def test_hessian_is_the_derivative_of_the_gradient(v, seed):
    model, x, y = setting()
    oracle = Dense(model, x, y)
    _, exact = torch.func.jvp(torch.func.grad(oracle.value), (oracle.theta,), (torch.tensor(v),))
    H, norm = built(dl.Hessian)
    assert np.linalg.norm((H @ v).numpy() - exact.detach().numpy()) <= rounding(norm, v)


@operators
@given(micro_batch=st.integers(1, 40), blocks=st.sampled_from([1, 2]), order=st.permutations(range(37)))
def test_invariant_to_cut_and_order(operator, micro_batch, blocks, order):
    model, x, y = setting()
    store = BlockStore.from_arrays(x[order], y[order], blocks=blocks)
    H = operator(dl.Objective(model, store, dtype=torch.float64), LocalRunner(micro_batch=micro_batch))
    v = np.sin(np.arange(P))
    assert relative(H @ v, built(operator)[0] @ v) < 1e-13


@operators
@given(copies=st.integers(2, 4))
def test_a_repeated_data_set_has_the_same_mean(operator, copies):
    model, x, y = setting()
    repeated = dl.Objective(model, (np.tile(x, (copies, 1)), np.tile(y, copies)), dtype=torch.float64)
    v = np.cos(np.arange(P))
    assert relative(operator(repeated) @ v, built(operator)[0] @ v) < 1e-13
