"""Clustering statistics against the naive computation over all pairs, in float64, with uneven classes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from distlandscape.curvature import logit_gradients
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime import LocalRunner
from distlandscape.runtime import clustering as module
from distlandscape.runtime.classes import class_counts
from distlandscape.runtime.clustering import clustering, first_logits, freezing
from distlandscape.runtime.hierarchy import BetweenLogits, class_means, level_traces
from tests.helpers import Dense, bias_free

LABELS = [0] * 9 + [1] * 5 + [2] * 2 + [3] * 3


def uneven(seed=0, labels=LABELS, parameters=None, model=None):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((len(labels), 4)), rng.permutation(labels)
    torch.manual_seed(seed)
    model = model or nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1 + max(labels))).double()
    return Objective(model, (x, y), parameters=parameters), Dense(model, x, y, patterns=parameters or ("*",))


def naive(J_NCP, y):
    """Cosine of every pair of non-zero gradients, sorted into lists."""
    N, C, _ = J_NCP.shape
    norm = J_NCP.norm(dim=2)
    lists = {name: [] for name in ("slsc", "sldc", "sl", "dl", "same")}
    by_class = {pair: [] for pair in product(range(C), range(C))}
    by_logits = {pair: [] for pair in product(range(C), range(C))}
    for i, j, k, m in product(range(N), range(N), range(C), range(C)):
        if (i, k) == (j, m) or norm[i, k] == 0 or norm[j, m] == 0:
            continue
        cosine = float(J_NCP[i, k] @ J_NCP[j, m] / (norm[i, k] * norm[j, m]))
        by_logits[k, m].append(cosine)
        if i == j:
            lists["same"].append(cosine)
        elif k != m:
            lists["dl"].append(cosine)
        else:
            lists["sl"].append(cosine)
            if y[i] != y[j]:
                lists["sldc"].append(cosine)
            else:
                by_class[k, int(y[i])].append(cosine)
                if y[i] == k:
                    lists["slsc"].append(cosine)
    table = lambda lists: np.array([[np.mean(lists[k, c]) for c in range(C)] for k in range(C)])  # noqa: E731
    return {name: np.mean(values) for name, values in lists.items()}, table(by_class), table(by_logits), norm


def check(found, J_NCP, y):
    means, by_class, by_logits, norm = naive(J_NCP, y)
    told = {
        "slsc": found.q_slsc,
        "sldc": found.q_sldc,
        "sl": found.q_sl,
        "dl": found.q_dl,
        "same": found.q_dl_same_sample,
    }
    assert told == pytest.approx(means, abs=1e-10)
    assert found.by_class == pytest.approx(by_class, abs=1e-10)
    assert found.by_logits == pytest.approx(by_logits, abs=1e-10)
    for k, c in product(range(len(by_class)), repeat=2):
        mine = norm[torch.as_tensor(y) == c, k]
        mine = mine[mine > 0].numpy()
        assert found.counts[k, c] == len(mine)
        assert found.lengths[k, c] == pytest.approx(mine.mean(), rel=1e-10)
        assert found.length_sd[k, c] == pytest.approx(mine.std(), abs=1e-7)
    whole = norm[norm > 0].numpy()
    assert (found.length_mean, found.length_sd_all) == pytest.approx((whole.mean(), whole.std()), rel=1e-9)


@pytest.mark.parametrize("parameters", [None, ["0.*"]])
@pytest.mark.parametrize("sums", [1, 2**27])
@pytest.mark.parametrize("rows", [1, 2**23])
def test_equal_to_all_pairs(parameters, sums, rows, monkeypatch):
    monkeypatch.setattr(module, "SUMS_BYTES", sums)
    monkeypatch.setattr(logit_gradients, "ROWS_BYTES", rows)
    objective, dense = uneven(parameters=parameters)
    found = clustering(objective, LocalRunner(micro_batch=3))
    assert found.passes == (4 if sums == 1 else 1)
    check(found, dense.jacobian(), dense.y)


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.lists(st.integers(2, 5), min_size=2, max_size=4))
def test_equal_to_all_pairs_for_any_class_sizes(seed, sizes):
    labels = [c for c, size in enumerate(sizes) for _ in range(size)]
    objective, dense = uneven(seed, labels)
    check(clustering(objective), dense.jacobian(), dense.y)


def test_gradients_of_length_zero_are_left_out():
    """With some ReLUs dead, the first layer's gradient of a sample vanishes."""
    model = bias_free(4, 2, 3, seed=1)
    objective, dense = uneven(4, [0] * 8 + [1] * 9 + [2] * 10, ["1.*"], model)
    J_NCP = dense.jacobian()
    dead = (J_NCP.norm(dim=2) == 0).any(1)
    assert 0 < dead.sum() < len(dead) // 2
    check(clustering(objective), J_NCP, dense.y)


def test_softmax_regression_has_orthogonal_logits_and_inputs_for_gradients():
    """∇z_k is the input in row k: q_DL is 0, lengths are |x|, all logits cluster alike."""
    objective, _ = uneven(labels=[0] * 6 + [1] * 4 + [2] * 5, model=nn.Linear(4, 3, bias=False).double())
    found = clustering(objective)
    assert (found.q_dl, found.q_dl_same_sample) == pytest.approx((0, 0), abs=1e-14)
    assert np.ptp(found.by_class, axis=0) == pytest.approx(0, abs=1e-14)
    x = np.concatenate([objective.data.block(b)[0] for b in range(objective.data.blocks)])
    assert found.length_mean == pytest.approx(np.linalg.norm(x, axis=1).mean(), rel=1e-12)


def test_freezing_against_the_definitions():
    objective, dense = uneven()
    z = dense.logits(dense.theta).detach()
    p = z.softmax(1)
    found = freezing(objective, LocalRunner(micro_batch=2))
    assert found.sigma_z == pytest.approx(float(((z - z.mean(1, keepdim=True)) ** 2).sum() / (3 * len(z))) ** 0.5)
    assert found.sum_p2 == pytest.approx(float((p * p).sum(1).mean()))
    assert found.entropy == pytest.approx(float(-(p * p.log()).sum(1).mean()))
    assert found.loss == pytest.approx(float(dense.value(dense.theta)))
    assert found.accuracy == pytest.approx(float((z.argmax(1) == dense.y).double().mean()))
    for count in (1, 7, 100):
        assert first_logits(objective, count, LocalRunner(micro_batch=2)) == pytest.approx(z[:count].numpy())


def test_adding_a_constant_to_all_logits_freezes_nothing():
    objective, _ = uneven()
    state = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
    state["2.bias"] += 5
    before, after = (vars(freezing(o)) for o in (objective, objective.with_weights(state)))
    assert after == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize(
    ("y", "loss", "words"),
    [
        ([0, 0, 1, 1, 2], "cross_entropy", "of class 2 there are fewer"),
        ([0, 0, 1, 1, 1], "cross_entropy", "of class 2 there are fewer"),
        ([0, 0, 1, 1, 2], "mse", "the loss is not cross_entropy"),
    ],
)
def test_what_has_no_classes_is_refused(y, loss, words):
    objective = Objective(nn.Linear(2, 3), (np.ones((5, 2)), np.array(y)), loss)
    with pytest.raises(InputError, match=words):
        class_counts(objective)


@pytest.mark.ray
@pytest.mark.parametrize("workers", ["store", "group"])
def test_the_same_bits_on_workers(objective, request, workers):
    pool = request.getfixturevalue(workers)
    v = torch.ones(1, objective.parameters)
    here, means = clustering(objective, LocalRunner(threads=1)), class_means(objective)
    there = clustering(objective, pool)
    for name, value in vars(here).items():
        assert np.array_equal(value, getattr(there, name)), name
    for name, value in vars(class_means(objective, pool)).items():
        assert np.array_equal(value, getattr(means, name)), name
    assert torch.equal(BetweenLogits(objective, pool).apply(v), BetweenLogits(objective).apply(v))
    assert level_traces(objective, means, pool) == level_traces(objective, means)
