"""Hessian and Gauss-Newton equal their dense float64 matrices, however the data are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner
from tests.helpers import Dense, heavy_tailed, relative, samples

C = 3
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
NETS = {
    "mlp": ((5,), {"hidden": [4, 3]}),
    "cnn": ((1, 5, 4), {"channels": [2, 2]}),
}
CASES = [
    ("mlp", "relu", "cross_entropy"),
    ("mlp", "tanh", "cross_entropy"),
    ("mlp", "gelu", "cross_entropy"),
    ("cnn", "relu", "cross_entropy"),
    ("cnn", "tanh", "mse"),
    ("cnn", "gelu", heavy_tailed),
    ("mlp", "tanh", "mse"),
    ("mlp", "gelu", heavy_tailed),
]


def make(net, activation):
    shape, options = NETS[net]
    model = build_model(net, shape, C, {**options, "activation": activation}, seed=1)
    return model, *samples(shape, C)


def dense_of(operator, oracle):
    return oracle.hessian() if operator is dl.Hessian else oracle.gauss_newton()


@pytest.mark.parametrize("operator", [dl.Hessian, dl.GaussNewton])
@pytest.mark.parametrize(("net", "activation", "loss"), CASES)
def test_equal_the_dense_matrix_in_both_precisions(operator, net, activation, loss):
    model, x, y = make(net, activation)
    exact = dense_of(operator, Dense(model, x, y, loss))
    assert exact.norm() > 1e-2
    # 37 samples in blocks of 18 and 19: the last micro-batch of the second block is a single sample.
    store = BlockStore.from_arrays(x, y, blocks=2)
    for dtype, tolerance in TOLERANCE.items():
        H = operator(dl.Objective(model, store, loss, dtype=dtype), LocalRunner(micro_batch=6))
        V_KP = torch.eye(H.shape[0]).double()
        if dtype == torch.float32:
            V_KP = torch.randn(4, H.shape[0], generator=torch.Generator().manual_seed(0)).double()
        assert relative(H.apply(V_KP), V_KP @ exact) < tolerance


@pytest.mark.parametrize("operator", [dl.Hessian, dl.GaussNewton])
@pytest.mark.parametrize("micro_batch", [1, 2, 9, 18, 19, 1000])
@pytest.mark.parametrize("blocks", [1, 2])
def test_cut_of_the_data_does_not_matter(operator, micro_batch, blocks):
    model, x, y = make("mlp", "tanh")
    store = BlockStore.from_arrays(x, y, blocks=blocks)
    H = operator(dl.Objective(model, store, dtype=torch.float64), LocalRunner(micro_batch=micro_batch))
    v = torch.randn(H.shape[0], generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert relative(H @ v, dense_of(operator, Dense(model, x, y)) @ v) < 1e-13


@pytest.mark.parametrize("operator", [dl.Hessian, dl.GaussNewton])
@pytest.mark.parametrize(
    ("net", "patterns"),
    [("mlp", ["1.*"]), ("mlp", ["*.weight"]), ("mlp", ["5.bias", "1.weight"]), ("cnn", ["2.*"]), ("cnn", ["*bias"])],
)
def test_parameter_subset(operator, net, patterns):
    model, x, y = make(net, "tanh")
    oracle = Dense(model, x, y, patterns=patterns)
    objective = dl.Objective(model, (x, y), parameters=patterns, dtype=torch.float64)
    assert 0 < objective.parameters < sum(p.numel() for p in model.parameters())
    assert torch.equal(objective.theta, oracle.theta)
    H = operator(objective)
    assert relative(H.apply(torch.eye(H.shape[0])), dense_of(operator, oracle)) < 1e-9
    # A block of the whole matrix, not the inverse of a block of the inverse or the like.
    whole = dense_of(operator, Dense(model, x, y))
    mine = torch.cat(
        [torch.full((p.numel(),), name in objective.names) for name, p in objective.model.named_parameters()]
    )
    assert relative(H.apply(torch.eye(H.shape[0])), whole[mine][:, mine]) < 1e-9


def test_mse_targets_of_one_and_several_columns():
    for outputs, targets in [(3, samples((3,), 2)[0]), (1, samples((1,), 2)[0][:, 0])]:
        x, _ = samples((5,), C, seed=8)
        model = build_model("mlp", (5,), outputs, {"hidden": [4], "activation": "tanh"}, seed=1)
        objective = dl.Objective(model, (x, targets), "mse", dtype=torch.float64)
        oracle = Dense(model, x, targets.reshape(len(x), -1), "mse")
        for operator in (dl.Hessian, dl.GaussNewton):
            assert (
                relative(operator(objective).apply(torch.eye(objective.parameters)), dense_of(operator, oracle)) < 1e-9
            )
        assert relative(dl.gradient(objective), oracle.gradient()) < 1e-12


def test_nine_and_one_split_is_not_a_mean_of_means():
    """Averaging the means of micro-batches of 9 and 1 gives the odd sample nine times its weight."""
    x, y = samples((5,), C, n=10)
    x[9] *= 6
    model = build_model("mlp", (5,), C, {"hidden": [6], "activation": "tanh"}, seed=1)
    exact = Dense(model, x, y).hessian()
    naive = (Dense(model, x[:9], y[:9]).hessian() + Dense(model, x[9:], y[9:]).hessian()) / 2
    assert relative(naive, exact) > 0.5
    H = dl.Hessian(dl.Objective(model, (x, y), dtype=torch.float64), LocalRunner(micro_batch=9))
    assert relative(H.apply(torch.eye(H.shape[0])), exact) < 1e-12
    g = dl.gradient(H.objective, LocalRunner(micro_batch=9))
    assert relative(g, Dense(model, x, y).gradient()) < 1e-12


def test_no_sample_of_a_block_is_dropped():
    """Each sample alone moves the answer, the last of a partial micro-batch included."""
    x, y = samples((5,), C)
    model = build_model("mlp", (5,), C, {"hidden": [6]}, seed=1)

    def loss_gradient(x):
        store = BlockStore.from_arrays(x, y, blocks=2)
        return dl.gradient(dl.Objective(model, store, dtype=torch.float64), LocalRunner(micro_batch=6))

    before = loss_gradient(x)
    for sample in range(len(x)):
        moved = x.copy()
        moved[sample] += 1
        assert not torch.equal(loss_gradient(moved), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forms_of_the_product_agree(dtype):
    x, y = samples((5,), C)
    model = build_model("mlp", (5,), C, {"hidden": [4]}, seed=1)
    H = dl.Hessian(dl.Objective(model, (x, y), dtype=dtype))
    P = H.shape[0]
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((P, 3)).astype(np.float64 if dtype == torch.float64 else np.float32)
    rows = H.apply(torch.tensor(columns.T.copy()))
    assert rows.shape == (3, P)
    assert rows.dtype == dtype
    assert H.shape == (P, P)
    assert H.dtype == dtype
    for given in (torch.tensor(columns), columns, np.asfortranarray(columns), columns.astype(np.float64)):
        product = H @ given
        assert product.shape == (P, 3)
        assert product.dtype == dtype
        assert torch.equal(product, rows.T)  # the bits do not depend on how the columns lay in memory
    assert torch.equal(H.apply(columns.T), rows)
    assert torch.equal(H.apply(list(torch.tensor(columns.T.copy()))), rows)
    for k in range(3):
        assert torch.equal(H @ columns[:, k].copy(), H @ torch.tensor(columns[:, k]))
        assert torch.equal(H @ columns[:, k], rows[k])
    read_only = columns[:, 0].copy()
    read_only.flags.writeable = False
    assert torch.equal(H @ read_only, rows[0])
    assert torch.equal(H @ columns[::-1, 0][::-1], rows[0])
    linear = H.to_scipy()
    assert linear.shape == (P, P)
    assert linear.dtype == columns.dtype
    for product in (linear @ columns, linear.T @ columns, linear.matmat(columns)):
        assert product.dtype == columns.dtype
        assert np.array_equal(product, rows.T.numpy())
    assert np.array_equal(linear @ columns[:, 0], rows[0].numpy())
    assert np.array_equal(linear.rmatvec(columns[:, 0]), rows[0].numpy())
    assert np.array_equal(linear.matvec(columns[:, :1]), rows[:1].T.numpy())


def test_products_of_a_wrong_length_are_refused():
    x, y = samples((5,), C)
    H = dl.Hessian(dl.Objective(build_model("mlp", (5,), C, {"hidden": []}, seed=1), (x, y)))
    assert H.shape == (18, 18)
    for wrong in (torch.ones(17), torch.ones(17, 2), torch.ones(2, 18), torch.ones(18, 1, 1), torch.tensor(1.0)):
        with pytest.raises(dl.InputError, match="18"):
            H @ wrong
    for wrong in (torch.ones(18), torch.ones(18, 2), torch.ones(2, 17)):
        with pytest.raises(dl.InputError, match="18"):
            H.apply(wrong)


def test_many_vectors_split_over_several_passes_are_the_same(monkeypatch):
    x, y = samples((5,), C)
    H = dl.Hessian(dl.Objective(build_model("mlp", (5,), C, {"hidden": [4]}, seed=1), (x, y)))
    V_KP = torch.randn(7, H.shape[0], generator=torch.Generator().manual_seed(0))
    at_once = H.apply(V_KP)
    assert H.passes == 1
    monkeypatch.setattr("distlandscape.runtime.operators.PASS_BYTES", 8 * H.shape[0] * 3)
    assert torch.equal(H.apply(V_KP), at_once)
    assert H.passes == 1 + 3
