"""BatchNorm by the statistics of one fixed batch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.runtime import LocalRunner
from tests.curvature.nets import IMAGE, C, make
from tests.helpers import relative, samples

N = 37


@pytest.fixture
def data():
    return samples(IMAGE, C)


def batch_objective(data, fixed=N, **options):
    return dl.Objective(make("batch_norm")[0], data, norm="batch", norm_samples=fixed, dtype=torch.float64, **options)


def test_all_samples_as_statistics_batch_is_torchs_train_mode(data):
    """Then the objective is what torch computes in train mode on the whole data, by its own kernels."""
    model = copy.deepcopy(make("batch_norm")[0]).double()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    loss = nn.functional.cross_entropy(model.train()(torch.tensor(data[0])), torch.tensor(data[1]))
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, model.parameters())])
    for micro_batch in (5, N):
        objective = batch_objective(data)
        value, _, ours = dl.runtime.loss_accuracy_gradient(objective, LocalRunner(micro_batch=micro_batch))
        assert value == pytest.approx(float(loss.detach()), rel=1e-12)
        assert relative(ours, gradient) < 1e-12


def test_the_first_samples_of_the_data_are_the_statistics_batch(data):
    x, y = data
    base = dl.gradient(batch_objective(data, 11))
    late, early = x.copy(), x.copy()
    late[20], early[3] = late[21], early[4]
    y_late, y_early = y.copy(), y.copy()
    y_late[20], y_early[3] = y[21], y[4]
    # A sample outside moves the gradient as one of N terms, one inside moves every term.
    outside = dl.gradient(batch_objective((late, y_late), 11))
    only = dl.Objective(make("batch_norm")[0], (x[20:22], y[20:22]), dtype=torch.float64)
    assert only.samples == 2
    assert not torch.equal(outside, base)
    logits = [batch_objective(d, 11) for d in (data, (late, y_late), (early, y_early))]
    seen = [o.logits(o.leaves(), torch.tensor(x[30:])) for o in logits]
    assert torch.equal(seen[0], seen[1])
    assert relative(seen[2], seen[0]) > 1e-4


def test_statistics_batch_over_several_blocks_and_larger_than_the_data(data):
    stores = [BlockStore.from_arrays(*data, blocks=b) for b in (1, 2)]
    one, two, all_of_it = batch_objective(stores[0], 30), batch_objective(stores[1], 30), batch_objective(data, 1000)
    assert relative(dl.gradient(one), dl.gradient(two)) < 1e-13
    assert relative(dl.gradient(all_of_it), dl.gradient(batch_objective(data, N))) < 1e-13


def test_copies_pickles_and_other_weights_keep_the_policy(data):
    objective = batch_objective(data, 11)
    base = dl.gradient(objective)
    assert torch.equal(dl.gradient(pickle.loads(pickle.dumps(objective))), base)  # noqa: S301
    assert torch.equal(dl.gradient(objective.with_weights(objective.model.state_dict())), base)


def test_training_gets_its_own_layers_back(data):
    objective = batch_objective(data, 11)
    model = objective.trainable_copy()
    kinds = [type(m) for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert set(kinds) == {nn.BatchNorm1d, nn.BatchNorm2d}
    before = objective.model.state_dict()["1.running_mean"].clone()
    model.train()(torch.tensor(data[0]))
    assert torch.equal(objective.model.state_dict()["1.running_mean"], before)
    assert not torch.equal(model.state_dict()["1.running_mean"], before)
    assert batch_objective(data, 11).weights_sha256 == objective.weights_sha256


def test_a_layer_without_running_statistics_is_welcome(data):
    model = make("batch_norm")[0]
    model[1] = nn.BatchNorm2d(3, track_running_stats=False, affine=False)
    objective = dl.Objective(model, data, norm="batch", dtype=torch.float64)
    assert torch.isfinite(dl.Hessian(objective) @ torch.ones(objective.parameters)).all()


def test_a_net_without_batch_norm_is_the_same_under_both_policies():
    model, shape, _ = make("layer_norm")
    data = samples(shape, C)
    assert torch.equal(
        dl.gradient(dl.Objective(model, data, norm="batch")), dl.gradient(dl.Objective(model, data, norm="population"))
    )


class Tokens(nn.Module):
    """BatchNorm over the tokens of every sample, laid out as rows."""

    def __init__(self):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(4), nn.Linear(12, C)

    def forward(self, x):
        return self.last(self.norm(x.reshape(-1, 4)).reshape(-1, 12))


def test_rows_of_one_sample_belong_together():
    x, y = samples((3, 4), C, n=36)
    model = Tokens()
    objective = dl.Objective(model, (x, y), norm="batch", norm_samples=10, dtype=torch.float64)
    head = torch.tensor(x[:10]).reshape(-1, 4)
    scaled = (torch.tensor(x[10:14]).reshape(-1, 4) - head.mean(0)) / (head.var(0, unbiased=False) + 1e-5).sqrt()
    expected = model.double().last(scaled.reshape(-1, 12))
    assert relative(objective.logits(objective.leaves(), torch.tensor(x[10:14])), expected) < 1e-12


class Averaged(Tokens):
    def forward(self, x):
        return self.last(x.reshape(-1, 12) + self.norm(x.mean((0, 1))[None]).repeat(1, 3))


def test_rows_that_mix_samples_are_refused():
    with pytest.raises(dl.InputError, match="whose rows belong to one sample each"):
        dl.Objective(Averaged(), samples((3, 4), C), norm="batch")


class Own(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


def test_layers_of_another_kind_are_refused(data):
    model = make("batch_norm")[0]
    model[1] = Own(3)
    with pytest.raises(dl.InputError, match="does not know what the normalisation layer '1', a Own, does"):
        dl.Objective(model, data, norm="batch")


class Centred(nn.Linear):
    def forward(self, x):
        return super().forward(x - x.mean(0))


class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5))


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Centred, "depend on the other samples of its batch"), (Noisy, "other logits for the same samples a second time")],
)
def test_functions_of_the_batch_or_of_chance_are_refused(kind, message):
    torch.manual_seed(0)
    with pytest.raises(dl.InputError, match=message):
        dl.Objective(kind(40, C), samples((40,), C))


def test_too_few_statistics(data):
    with pytest.raises(dl.InputError, match="norm_samples=1: a statistics batch needs at least 2"):
        batch_objective(data, 1)
    rng = np.random.default_rng(0)
    assert batch_objective((rng.standard_normal((5, *IMAGE)), np.arange(5) % C), 2).samples == 5
