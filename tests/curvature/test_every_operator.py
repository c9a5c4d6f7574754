"""All operators on all kinds of nets equal dense float64 matrices made from first principles."""

from __future__ import annotations

import functools

import pytest
import torch

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.runtime import LocalRunner
from tests.curvature.nets import NETS, C, make
from tests.helpers import Dense, relative, samples

CASES = [(name, "population") for name in NETS] + [("batch_norm", "batch")]
FIXED = 11  # samples of the statistics batch
OPERATORS = {
    "hessian": (dl.Hessian, Dense.hessian),
    "gauss_newton": (dl.GaussNewton, Dense.gauss_newton),
    "residual": (dl.Residual, Dense.residual),
    "fisher model": (dl.Fisher, Dense.fisher),
    "fisher data": (functools.partial(dl.Fisher, labels="data"), lambda d: d.fisher("data")),
    "fisher sampled": (functools.partial(dl.Fisher, labels="sampled", seed=5), lambda d: d.fisher("sampled", 5)),
}


@functools.cache
def setting(name, norm, subset, loss="cross_entropy"):
    model, shape, some = make(name)
    x, y = samples(shape, C)
    patterns = some if subset else None
    # 37 samples in blocks of 18 and 19, micro-batches of 9: the last one of the second block is a single sample.
    objective = dl.Objective(
        model,
        BlockStore.from_arrays(x, y, blocks=2),
        loss,
        parameters=patterns,
        norm=norm,
        norm_samples=FIXED,
        dtype=torch.float64,
    )
    wildcards = [w for p in some for w in (p, f"{p}.*")] if subset else ["*"]
    return objective, Dense(model, x, y, loss, wildcards, FIXED if norm == "batch" else 0)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("subset", [False, True])
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_equals_the_dense_matrix(operator, subset, name, norm):
    objective, oracle = setting(name, norm, subset)
    assert torch.equal(objective.theta, oracle.theta)
    make_operator, dense = OPERATORS[operator]
    exact = dense(oracle)
    assert exact.norm() > 1e-3
    H = make_operator(objective, LocalRunner(micro_batch=9))
    V_KP = torch.randn(12, objective.parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    product = H.apply(V_KP)  # of some vectors: it says as much as the whole matrix
    assert relative(product, V_KP @ exact) < 1e-9
    assert relative(product @ V_KP.T, V_KP @ product.T) < 1e-12


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_the_oracle_itself(name, norm):
    """Against differences of the gradient, where no second derivative of torch has a part."""
    oracle = setting(name, norm, True)[1]
    V_KP = torch.randn(12, len(oracle.theta), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert relative(V_KP @ oracle.hessian(), oracle.products_by_differences(V_KP)) < 1e-6


@pytest.mark.parametrize("operator", OPERATORS)
def test_mse(operator):
    objective, oracle = setting("layer_norm", "population", False, "mse")
    make_operator, dense = OPERATORS[operator]
    product = make_operator(objective, LocalRunner(micro_batch=9)).apply(torch.eye(objective.parameters))
    assert relative(product, dense(oracle)) < 1e-9


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_parts_of_the_hessian(name, norm):
    """Hessian = GaussNewton + Residual, and for cross-entropy the Fisher matrix is the Gauss-Newton term."""
    objective, _ = setting(name, norm, False)
    V_KP = torch.randn(3, objective.parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    H, G, R, F = (kind(objective).apply(V_KP) for kind in (dl.Hessian, dl.GaussNewton, dl.Residual, dl.Fisher))
    assert relative(G + R, H) < 1e-12
    assert relative(F, G) < 1e-12
    assert relative(R, H) > 1e-2


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_a_net_in_train_mode_is_left_alone(name, norm):
    model, shape, _ = make(name)
    assert model.training
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    objective = dl.Objective(model, samples(shape, C), norm=norm, dtype=torch.float64)
    inner = {key: tensor.clone() for key, tensor in objective.model.state_dict().items()}
    once, again = (dl.Hessian(objective) @ torch.ones(objective.parameters) for _ in range(2))
    assert torch.equal(once, again)  # no dropout
    for state, now in ((before, model.state_dict()), (inner, objective.model.state_dict())):
        assert list(state) == list(now)
        assert all(torch.equal(state[key], now[key]) for key in state)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("operator", ["fisher sampled", "hessian"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_cut_of_the_data_does_not_matter(operator, loss):
    model, shape, _ = make("batch_norm")
    x, y = samples(shape, C)
    products = []
    for blocks, micro_batch in ((1, 37), (2, 6), (2, 1), (1, 10)):
        store = BlockStore.from_arrays(x, y, blocks=blocks)
        objective = dl.Objective(model, store, loss, norm="batch", norm_samples=7, dtype=torch.float64)
        H = OPERATORS[operator][0](objective, LocalRunner(micro_batch=micro_batch))
        products.append(H @ torch.sin(torch.arange(objective.parameters).double()))
    assert all(relative(product, products[0]) < 1e-12 for product in products)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_sampled_labels_average_to_the_fisher_matrix(loss):
    """The mean over draws approaches the exact expectation as 1/√draws, from wherever the draws start."""
    objective, _ = setting("layer_norm", "population", True, loss)
    eye = torch.eye(objective.parameters)
    exact = dl.Fisher(objective).apply(eye)
    draws = torch.stack([dl.Fisher(objective, labels="sampled", seed=s).apply(eye) for s in range(100)])
    errors = [relative(draws[:n].mean(0), exact) for n in (1, 100)]
    assert 0.02 < errors[0] < 2
    assert errors[1] < 4 * errors[0] / 100**0.5
    empirical = dl.Fisher(objective, labels="data").apply(eye)
    assert relative(empirical, exact) > 3 * errors[1]  # the data's labels are another matrix


def test_what_a_fisher_matrix_needs():
    model, shape, _ = make("mlp")
    data = samples(shape, C)
    own = dl.Objective(model, data, lambda z, y: z.square().sum(1))
    with pytest.raises(dl.InputError, match="labels='model' needs a loss that is −log of a likelihood"):
        dl.Fisher(own)
    with pytest.raises(dl.InputError, match="labels='sampled' needs"):
        dl.Fisher(own, labels="sampled")
    assert dl.Fisher(own, labels="data") @ torch.ones(own.parameters) is not None
    with pytest.raises(dl.InputError, match="labels='true' are unknown; known: model, data, sampled"):
        dl.Fisher(dl.Objective(model, data), labels="true")


def smoothed(z, y, epsilon):
    targets = (1 - epsilon) * torch.eye(z.shape[1]).double()[y] + epsilon / z.shape[1]
    return -(targets * z.log_softmax(1)).sum(1)


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_weight_decay_and_label_smoothing(epsilon, decay):
    model, shape, some = make("layer_norm")
    x, y = samples(shape, C)
    loss = functools.partial(smoothed, epsilon=epsilon)
    oracle = Dense(model, x, y, loss, some)
    objective = dl.Objective(
        model, (x, y), parameters=some, dtype=torch.float64, weight_decay=decay, label_smoothing=epsilon
    )
    eye = torch.eye(objective.parameters).double()
    assert relative(dl.Hessian(objective).apply(eye), oracle.hessian() + decay * eye) < 1e-9
    assert relative(dl.GaussNewton(objective).apply(eye), oracle.gauss_newton() + decay * eye) < 1e-9
    assert relative(dl.Residual(objective).apply(eye), oracle.hessian() - oracle.gauss_newton()) < 1e-9
    assert relative(dl.Fisher(objective).apply(eye), oracle.gauss_newton()) < 1e-9
    assert relative(dl.Fisher(objective, labels="data").apply(eye), oracle.fisher("data")) < 1e-9
    value, _, gradient = dl.runtime.loss_accuracy_gradient(objective)
    theta = oracle.theta.detach()
    assert value == pytest.approx(float(oracle.value(theta).detach() + 0.5 * decay * theta.square().sum()), rel=1e-12)
    assert relative(gradient, oracle.gradient() + decay * theta) < 1e-12


def test_float32_too():
    for name, norm in CASES:
        model, shape, _ = make(name)
        data = samples(shape, C)
        objective, exact = (dl.Objective(model, data, norm=norm, dtype=d) for d in (torch.float32, torch.float64))
        v = torch.ones(objective.parameters)
        for kind in (dl.Hessian, dl.GaussNewton, dl.Residual, dl.Fisher):
            product = kind(objective) @ v
            assert product.dtype == torch.float32
            assert relative(product, kind(exact) @ v) < 1e-4
