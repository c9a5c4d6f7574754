"""The objective: what it takes, what it refuses, and that it changes nothing it was handed."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner
from tests.helpers import Dense, heavy_tailed, relative, samples

C, SHAPE = 3, (2, 4, 4)


def norm_net():
    """BatchNorm with statistics that are not those of any batch, and dropout."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(12, C),
        nn.BatchNorm1d(C),
        nn.Dropout(0.3),
    )
    for norm in (net[1], net[6]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight)
    return net


@pytest.fixture
def data():
    return samples(SHAPE, C)


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_state(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_model_in_train_mode_is_measured_in_eval_mode_and_left_alone(data):
    model = norm_net().train()
    before, modes = state_of(model), [module.training for module in model.modules()]
    requires = [p.requires_grad for p in model.parameters()]
    objective = dl.Objective(model, data, dtype=torch.float64)
    inner = state_of(objective.model)
    exact = Dense(model, *data)
    for operator, matrix in ((dl.Hessian, exact.hessian()), (dl.GaussNewton, exact.gauss_newton())):
        products = [
            operator(objective, LocalRunner(micro_batch=m)).apply(torch.eye(objective.parameters)) for m in (7, 37)
        ]
        for product in products:
            assert relative(product, matrix) < 1e-9
    assert relative(dl.gradient(objective), exact.gradient()) < 1e-12
    assert same_state(state_of(objective.model), inner)
    assert same_state(state_of(model), before)
    assert [module.training for module in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == requires
    assert all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())
    assert not any(module.training for module in objective.model.modules())


def test_train_mode_would_have_been_another_function(data):
    """The test above can fail: batch statistics move the loss by far more than rounding."""
    model = norm_net().double()
    x, y = torch.tensor(data[0]), torch.tensor(data[1])
    losses = [nn.functional.cross_entropy(m(x), y) for m in (copy.deepcopy(model).eval(), copy.deepcopy(model).train())]
    assert abs(losses[0] - losses[1]) > 1e-2


def test_normalisation_without_running_statistics_is_refused(data):
    model = norm_net()
    model[1] = nn.BatchNorm2d(3, track_running_stats=False)
    with pytest.raises(dl.InputError, match="'1' keeps no running statistics"):
        dl.Objective(model, data)


def test_later_changes_of_the_callers_model_do_not_reach_the_objective(data):
    model = build_model("mlp", SHAPE, C, {}, seed=0)
    objective = dl.Objective(model, data)
    before, digest = dl.gradient(objective), objective.weights_sha256
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert torch.equal(dl.gradient(objective), before)
    assert objective.weights_sha256 == digest


def test_theta_is_in_the_order_of_named_parameters_row_major(data):
    model = build_model("mlp", SHAPE, C, {"hidden": [4]}, seed=0)
    objective = dl.Objective(model, data)
    assert objective.names == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert objective.parameters == len(objective.theta) == 32 * 4 + 4 + 4 * C + C
    assert torch.equal(objective.theta, nn.utils.parameters_to_vector(model.parameters()).detach())
    assert objective.theta[1] == model[1].weight[0, 1]
    assert objective.theta[32] == model[1].weight[1, 0]
    # Patterns choose, they do not order.
    subset = dl.Objective(model, data, parameters=["3.*", "1.bias"])
    assert subset.names == ["1.bias", "3.weight", "3.bias"]
    assert torch.equal(subset.theta, objective.theta[128:])
    pieces = objective.split(objective.theta)
    assert all(torch.equal(piece, p) for piece, p in zip(pieces, model.parameters(), strict=True))


def test_facts(data):
    store = BlockStore.from_arrays(*data)
    model = build_model("mlp", SHAPE, C, {}, seed=0)
    objective = dl.Objective(model, store)
    assert objective.data is store
    assert (objective.samples, objective.outputs, objective.classification) == (37, C, True)
    assert objective.dtype == torch.float32
    assert dl.Objective(model.double(), store).dtype == torch.float64
    assert dl.Objective(model, store, dtype=torch.float32).theta.dtype == torch.float32
    assert not dl.Objective(model, store, "mse").classification


def test_tensors_arrays_and_lists_are_the_same_data(data):
    model = build_model("mlp", SHAPE, C, {}, seed=0)
    x, y = data
    digest = dl.Objective(model, data).data.digest
    learned = torch.tensor(x).requires_grad_(True)
    for given in ((torch.tensor(x), torch.tensor(y)), [x, y.tolist()], (learned, torch.tensor(y))):
        assert dl.Objective(model, given).data.digest == digest


def test_with_weights(data):
    model, other = (build_model("mlp", SHAPE, C, {"hidden": [4]}, seed=seed) for seed in (0, 1))
    objective = dl.Objective(model, data, dtype=torch.float64)
    before = dl.gradient(objective)
    moved = objective.with_weights(other.state_dict())
    fresh = dl.Objective(other, data, dtype=torch.float64)
    assert torch.equal(moved.theta, fresh.theta)
    assert torch.equal(dl.gradient(moved), dl.gradient(fresh))
    assert moved.weights_sha256 == fresh.weights_sha256 != objective.weights_sha256
    assert torch.equal(dl.gradient(objective), before)


def test_with_weights_takes_buffers_along(data):
    model = norm_net()
    objective = dl.Objective(model, data, dtype=torch.float64)
    model[1].running_mean += 1
    moved = objective.with_weights(model.state_dict())
    assert torch.equal(dl.gradient(moved), dl.gradient(dl.Objective(model, data, dtype=torch.float64)))
    assert not torch.equal(dl.gradient(moved), dl.gradient(objective))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("1.bias"), "do not fit"),
        (lambda state: state.update(extra=torch.ones(1)), "do not fit"),
        (lambda state: state.update({"1.bias": torch.ones(5)}), "do not fit"),
        (lambda state: state.update({"1.bias": torch.full((4,), torch.nan)}), "NaN or infinite"),
    ],
)
def test_with_weights_that_do_not_fit(data, change, message):
    model = build_model("mlp", SHAPE, C, {"hidden": [4]}, seed=0)
    objective = dl.Objective(model, data)
    state = dict(model.state_dict())
    change(state)
    with pytest.raises(dl.InputError, match=message) as caught:
        objective.with_weights(state)
    assert "\n" not in str(caught.value)


def test_with_weights_of_a_file_and_of_a_wrapped_model(data, tmp_path):
    model, other = (build_model("mlp", SHAPE, C, {"hidden": [4]}, seed=seed) for seed in (0, 1))
    objective = dl.Objective(model, data)
    expected = objective.with_weights(other.state_dict()).theta
    torch.save(other.state_dict(), tmp_path / "weights.pt")
    averaged = torch.optim.swa_utils.AveragedModel(nn.DataParallel(other))
    for given in (tmp_path / "weights.pt", str(tmp_path / "weights.pt"), averaged.state_dict()):
        assert torch.equal(objective.with_weights(given).theta, expected)
    for wrong in (tmp_path / "absent.pt", {**other.state_dict(), "1.bias": 3}):
        with pytest.raises(dl.InputError):
            objective.with_weights(wrong)


def test_with_data_of_arrays(data):
    objective = dl.Objective(build_model("mlp", SHAPE, C, {}, seed=0), data, dtype=torch.float64)
    x, y = samples(SHAPE, C, n=9, seed=5)
    assert torch.equal(
        dl.gradient(objective.with_data((x, y))), dl.gradient(objective.with_data(BlockStore.from_arrays(x, y)))
    )
    with pytest.raises(dl.InputError, match="samples of shape"):
        objective.with_data((x[:, :1], y))


def test_shared_modules_stay_shared(data):
    """The model of the objective is not changed by being differentiated, whatever is registered twice."""
    layer = nn.Linear(32, 32)
    model = nn.Sequential(nn.Flatten(), layer, nn.Tanh(), layer, nn.Linear(32, C))
    objective = dl.Objective(model, data, dtype=torch.float64)
    digest = objective.weights_sha256
    oracle = Dense(model, *data)
    for _ in range(2):
        assert relative(dl.gradient(objective), oracle.gradient()) < 1e-12
    assert objective.model[1] is objective.model[3]
    assert isinstance(objective.model[1].weight, nn.Parameter)
    assert not objective.model[1].weight.requires_grad
    assert objective.weights_sha256 == digest


def test_the_copy_for_training_takes_gradients_where_the_objective_does(data):
    objective = dl.Objective(norm_net(), data, parameters=["5.*"])
    takes = {name: p.requires_grad for name, p in objective.trainable_copy().named_parameters()}
    assert takes == {name: name.startswith("5.") for name in takes}
    assert not any(p.requires_grad for p in objective.model.parameters())


def test_bytes_become_real_numbers_and_labels_stay_whole():
    x = np.arange(40, dtype=np.uint8).reshape(10, 4)
    objective = dl.Objective(nn.Linear(4, C), (x, np.zeros(10, np.int32)), dtype=torch.float64)
    inputs, labels = objective.tensors(*objective.data.block(0), torch.device("cpu"))
    assert (inputs.dtype, labels.dtype) == (torch.float64, torch.int64)
    assert torch.equal(inputs, torch.arange(40.0).double().view(10, 4))


def test_integer_samples_reach_an_embedding_whole():
    tokens = np.random.default_rng(0).integers(0, 9, (20, 6))
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(24, C)).double()
    labels = np.arange(20) % C
    objective = dl.Objective(model, (tokens, labels))
    theta = objective.theta.clone()
    expected = nn.functional.cross_entropy(model(torch.tensor(tokens)), torch.tensor(labels))
    expected.backward()
    exact = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert relative(dl.gradient(objective), exact) < 1e-12
    assert torch.equal(objective.theta, theta)


class Squeezed(nn.Linear):
    def forward(self, x):
        return super().forward(x).mean(1)


def nan_weights():
    model = nn.Linear(4, C)
    nn.init.constant_(model.weight, torch.nan)
    return model


def infinite_buffer():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, C))
    model[0].running_mean[1] = torch.inf
    return model


X, Y = np.ones((20, 4)), np.arange(20) % C
LINEAR = nn.Linear(4, C)
BAD = {
    "loss name": (LINEAR, (X, Y), "hinge", {}, "cross_entropy, mse"),
    "loss that is no function": (LINEAR, (X, Y), 3, {}, "neither a name"),
    "loss that averages": (LINEAR, (X, Y), lambda z, y: z.mean(), {}, "one value a sample"),
    "loss that averages to one entry": (nn.Linear(4, 1), (X, Y * 0), lambda z, y: z.mean(0), {}, "one value a sample"),
    "loss a matrix": (LINEAR, (X, Y), lambda z, y: z, {}, "one value a sample"),
    "loss a number": (LINEAR, (X, Y), lambda z, y: 1.0, {}, "one value a sample"),
    "loss that fails": (LINEAR, (X, Y), lambda z, y: z @ z, {}, "cannot be computed"),
    "norm": (LINEAR, (X, Y), "mse", {"norm": "train"}, "'population', 'batch'"),
    "half precision": (LINEAR, (X, Y), "mse", {"dtype": torch.float16}, "torch.float64"),
    "half model": (nn.Linear(4, C).half(), (X, Y), "mse", {}, "torch.float64"),
    "no parameters": (nn.Flatten(), (X, Y), "mse", {}, "no parameters"),
    "pattern": (LINEAR, (X, Y), "mse", {"parameters": ["layer9.*"]}, "'layer9.*'; there are weight, bias"),
    "one good and one bad pattern": (LINEAR, (X, Y), "mse", {"parameters": ["weight", "b"]}, "'b'"),
    "no pattern": (LINEAR, (X, Y), "mse", {"parameters": []}, "selects nothing"),
    "text for patterns": (LINEAR, (X, Y), "mse", {"parameters": "weight"}, "list of patterns"),
    "NaN weights": (nan_weights(), (X, Y), "mse", {}, "NaN or infinite"),
    "infinite buffer": (infinite_buffer(), (X, Y), "mse", {}, "'0.running_mean'"),
    "sample shape": (LINEAR, (np.ones((20, 5)), Y), "mse", {}, r"samples of shape \(5,\)"),
    "whole-number samples": (LINEAR, (np.ones((20, 4), int), Y), "mse", {}, "convert them to float32"),
    "no logits": (Squeezed(4, C), (X, Y), "mse", {}, "logits of shape"),
    "label too large": (LINEAR, (X, Y + 1), "cross_entropy", {}, "1 to 3.*0…2"),
    "label negative": (LINEAR, (X, Y - 1), "cross_entropy", {}, "-1 to 1.*0…2"),
    "label too large for one-hot": (LINEAR, (X, Y + 1), "mse", {}, "1 to 3.*0…2"),
    "real labels": (LINEAR, (X, Y + 0.5), "cross_entropy", {}, "whole-number labels"),
    "one-hot labels": (LINEAR, (X, np.eye(C)[Y]), "cross_entropy", {}, "whole-number labels"),
    "columns": (LINEAR, (X, np.ones((20, 2))), "mse", {}, "2 columns, the model 3"),
    "single targets": (LINEAR, (X, Y + 0.5), "mse", {}, "single numbers"),
    "unequal lengths": (LINEAR, (X, Y[:-1]), "mse", {}, "20 samples and y has 19"),
    "NaN samples": (LINEAR, (X * np.nan, Y), "mse", {}, "NaN or infinite"),
    "one array": (LINEAR, X, "mse", {}, r"\(X, y\)"),
    "three arrays": (LINEAR, (X, Y, Y), "mse", {}, r"\(X, y\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    model, data, loss, options, message = BAD[name]
    with pytest.raises(dl.InputError, match=message) as caught:
        dl.Objective(model, data, loss, **options)
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value) or ": " in str(caught.value)  # what was wrong, and what to do


def test_bad_labels_in_a_late_block_are_found():
    y = np.zeros(64, int)
    y[63] = C
    with pytest.raises(dl.InputError, match="0 to 3"):
        dl.Objective(LINEAR, BlockStore.from_arrays(np.ones((64, 4)), y, blocks=4))


def test_a_callable_loss_may_use_any_targets():
    """Ranges of labels mean nothing to a loss that is not ours."""
    x, y = samples((4,), 90)
    objective = dl.Objective(nn.Linear(4, C), (x, y), heavy_tailed)
    assert objective.data.block(0)[1].max() >= C


def test_survives_pickling(data):
    objective = dl.Objective(norm_net(), data, parameters=["5.*"], dtype=torch.float64)
    buffer = io.BytesIO()
    torch.save(objective, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert torch.equal(dl.gradient(again), dl.gradient(objective))
    assert again.weights_sha256 == objective.weights_sha256
