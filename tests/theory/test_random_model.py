"""The random model: draws against an explicit matrix, and the prediction against the mean of draws."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from distlandscape.errors import InputError
from distlandscape.theory import RandomModel, softmax_moments

SEEDS = 10
# Eight parameter sets in range: C, N, D, σ_c, σ_E, σ_z.
SETS = [
    (10, 300, 1000, 1.0, 1.0, 1.0),
    (10, 300, 1000, 0.2, 1.0, 1.0),
    (10, 500, 500, 0.5, 1.0, 2.0),
    (10, 200, 700, 0.3, 0.5, 0.5),
    (5, 300, 600, 0.6, 1.0, 3.0),
    (10, 400, 800, 1.0, 0.3, 5.0),
    (20, 400, 600, 0.8, 1.0, 1.5),
    (4, 600, 300, 1.0, 2.0, 1.0),
]


@pytest.fixture(scope="module", params=SETS, ids=str)
def case(request):
    """The prediction and the means over seeds."""
    model = RandomModel(*request.param)
    draws = [dataclasses.replace(model, seed=seed).sample() for seed in range(SEEDS)]
    return model, model.predict(), draws


def test_prediction(case):
    model, predicted, draws = case
    C = model.classes
    assert np.mean([d.eigenvalues[: C - 1].mean() for d in draws]) == pytest.approx(predicted.outlier, rel=0.03)
    assert np.mean([d.eigenvalues[C - 1] for d in draws]) == pytest.approx(predicted.bulk_edge, rel=0.06)
    assert np.mean([d.overlap for d in draws]) == pytest.approx(predicted.overlap, abs=0.02)
    assert np.mean([d.frobenius for d in draws]) == pytest.approx(predicted.frobenius, rel=0.01)
    ratio = np.mean([d.trace for d in draws]) / np.mean([d.frobenius for d in draws])
    assert ratio == pytest.approx(predicted.trace_over_frobenius, rel=0.01)
    assert np.mean([d.trace for d in draws]) == pytest.approx(predicted.trace, rel=0.02)
    assert np.mean([d.confinement for d in draws]) == pytest.approx(predicted.confinement, abs=0.05)


@pytest.mark.parametrize(
    ("sigma_c", "outlier", "bulk", "overlap", "ratio"),
    [(1.0, 91.14, 2.86, 0.994, 5.866), (0.2, 5.05, 2.86, 0.835, 23.66)],
)
def test_known_values(sigma_c, outlier, bulk, overlap, ratio):
    predicted = RandomModel(10, 300, 1000, sigma_c, 1, 1).predict()
    assert predicted.outlier == pytest.approx(outlier, rel=6e-3)
    assert predicted.bulk_edge == pytest.approx(bulk, rel=2e-3)
    assert predicted.overlap == pytest.approx(overlap, abs=1e-3)
    assert predicted.trace_over_frobenius == pytest.approx(ratio, rel=6e-3)


def test_the_outlier_disappears_where_predicted():
    """Above the threshold the leading directions lean on the cluster means, below they do not."""
    base = RandomModel(10, 300, 800, 0.0, 1.0, 1.0)
    threshold = base.predict().threshold
    found = {}
    for factor in (0.5, 0.9, 1.1, 1.5, 3.0):
        model = dataclasses.replace(base, sigma_c=factor * threshold)
        predicted = model.predict()
        assert (predicted.outlier is None) == (factor < 1)
        draws = [dataclasses.replace(model, seed=seed).sample() for seed in range(4)]
        top = np.mean([d.eigenvalues[:9].mean() for d in draws])
        found[factor] = (np.mean([d.overlap for d in draws]), top, predicted)
    assert found[0.5][0] < 0.1
    assert found[0.5][1] == pytest.approx(found[0.5][2].bulk_edge, rel=0.08)
    assert found[3.0][0] == pytest.approx(found[3.0][2].overlap, abs=0.03)
    assert found[3.0][1] == pytest.approx(found[3.0][2].outlier, rel=0.05)
    assert found[0.5][0] < found[0.9][0] < found[1.1][0] < found[1.5][0] < found[3.0][0]
    assert found[0.5][2].overlap == 0.0


def explicit(model):
    """The same draw, with G written out."""
    C, N, D = model.classes, model.examples, model.dim
    rng = np.random.default_rng(model.seed)
    z = model.sigma_z * rng.standard_normal((N, C))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    if model.labels == "argmax":
        y = p.argmax(1)
    elif model.labels == "uniform":
        y = rng.integers(0, C, N)
    else:
        u = rng.random((N, 1))[:, 0]
        y = np.array([int(np.searchsorted(np.cumsum(q), t)) for q, t in zip(p, u, strict=True)])
    c = model.sigma_c * rng.standard_normal((C, D))
    J = model.sigma_e * rng.standard_normal((N, C, D)) + c
    if model.sigma_d:
        d = model.sigma_d * rng.standard_normal((C, C, D))
        for mu in range(N):
            J[mu] += d[:, y[mu]]
    G = sum(J[mu].T @ (np.diag(p[mu]) - np.outer(p[mu], p[mu])) @ J[mu] for mu in range(N)) / N
    g = sum(J[mu].T @ (p[mu] - np.eye(C)[y[mu]]) for mu in range(N)) / N
    return G, g, c, y, p, J


@pytest.mark.parametrize("labels", ["sampled", "uniform", "argmax"])
@pytest.mark.parametrize(("N", "D"), [(12, 25), (4, 60)])
@pytest.mark.parametrize("sigma_d", [0.0, 0.7])
def test_a_draw_is_what_it_says(labels, N, D, sigma_d):
    model = RandomModel(4, N, D, 0.8, 1.1, 1.3, sigma_d, labels, seed=5)
    draw = model.sample()
    G, g, c, *_ = explicit(model)
    values, vectors = np.linalg.eigh(G)
    assert np.allclose(draw.gradient, g, atol=1e-12)
    rank = min(3 * N, D)
    assert len(draw.eigenvalues) == rank
    assert np.allclose(draw.eigenvalues, values[::-1][:rank], atol=1e-10)
    assert draw.trace == pytest.approx(np.trace(G), rel=1e-12)
    assert draw.frobenius == pytest.approx(np.linalg.norm(G), rel=1e-12)
    V = vectors[:, ::-1][:, :3]
    assert draw.confinement == pytest.approx(np.square(V.T @ g).sum() / (g @ g), rel=1e-9)
    span = np.linalg.qr((c - c.mean(0)).T)[0][:, :3]
    assert draw.overlap == pytest.approx(np.square(V.T @ span).sum() / 3, rel=1e-9)


def test_equal_seeds_equal_draws():
    model = RandomModel(3, 20, 30, 1, 1, 1)
    one, again, other = model.sample(), model.sample(), dataclasses.replace(model, seed=1).sample()
    assert np.array_equal(one.eigenvalues, again.eigenvalues)
    assert not np.array_equal(one.eigenvalues, other.eigenvalues)


def test_clustering_statistics():
    """Mean cosines between logit gradients of different examples, against pairs of a large draw."""
    model = RandomModel(3, 60, 4000, 0.7, 1.0, 1.0, sigma_d=0.5, seed=2)
    *_, y, _, J = explicit(model)
    unit = J / np.linalg.norm(J, axis=2, keepdims=True)
    same, different, other = [], [], []
    for k in range(3):
        cosines = unit[:, k] @ unit[:, k].T
        pair = y[:, None] == y
        off = ~np.eye(len(y), dtype=bool)
        own = (y == k)[:, None] & (y == k)
        same.append(cosines[own & off].mean())
        different.append(cosines[~pair].mean())
        other.append((unit[:, k] @ unit[:, (k + 1) % 3].T)[off].mean())
    expected = model.clustering
    assert np.mean(same) == pytest.approx(expected["q_slsc"], abs=0.02)
    assert np.mean(different) == pytest.approx(expected["q_sldc"], abs=0.02)
    assert np.mean(other) == pytest.approx(expected["q_dl"], abs=0.02)


def test_what_the_model_says_of_rising_and_falling_curvature():
    """At fixed σ_c the outlier only falls with σ_z; with σ_c² ∝ σ_z^½ it rises and falls, peaking near 1.7."""
    grid = np.linspace(0.2, 6, 30)

    def outlier(alpha):
        return np.array([RandomModel(10, 300, 1000, z ** (alpha / 2), 0.3, z).predict().outlier for z in grid])

    assert (np.diff(outlier(0)) < 0).all()
    half = outlier(0.5)
    peak = grid[half.argmax()]
    assert 1.3 < peak < 2.1
    assert half[0] < half.max() > half[-1]
    assert (np.diff(outlier(1.0)) > -1e-9 * outlier(1.0)[:-1]).all()


def test_no_bulk_without_scatter():
    model = RandomModel(5, 200, 400, 1.0, 0.0, 1.0)
    predicted = model.predict()
    assert (predicted.bulk_edge, predicted.overlap) == (0.0, 1.0)
    a = (1 - softmax_moments(5, 1.0).s) / 4
    assert predicted.outlier == pytest.approx(400 * a)
    draws = [dataclasses.replace(model, seed=s).sample() for s in range(8)]
    assert np.mean([d.eigenvalues[:4].mean() for d in draws]) == pytest.approx(predicted.outlier, rel=0.03)
    assert max(abs(d.eigenvalues[5:]).max() for d in draws) < 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 1}, "classes=1 must be"),
        ({"examples": 0}, "examples=0 must be a positive whole number"),
        ({"dim": -3}, "dim=-3 must be"),
        ({"dim": 2.5}, "dim=2.5 must be"),
        ({"sigma_c": -1.0}, "sigma_c=-1.0 must be"),
        ({"sigma_e": float("nan")}, "sigma_e=nan"),
        ({"sigma_z": -0.1}, "sigma_z=-0.1"),
        ({"sigma_c": 0.0, "sigma_e": 0.0}, "are all 0"),
        ({"labels": "true"}, "known: sampled, uniform, argmax"),
        ({"seed": -1}, "seed=-1 must be"),
    ],
)
def test_bad_input(changes, message):
    settings = {"classes": 3, "examples": 30, "dim": 40, "sigma_c": 1.0, "sigma_e": 1.0, "sigma_z": 1.0}
    with pytest.raises(InputError, match=message):
        RandomModel(**{**settings, **changes})


def test_limits_of_the_prediction_are_told():
    with pytest.raises(InputError, match="no closed form is known for sigma_d"):
        RandomModel(10, 300, 1000, 1, 1, 1, sigma_d=0.1).predict()
    with pytest.warns(UserWarning, match="with C=50, N=60, D=1000 finite size shows"):
        RandomModel(50, 60, 1000, 1, 1, 1).predict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RandomModel(10, 300, 1000, 1, 1, 1, labels="uniform").predict().confinement is None
