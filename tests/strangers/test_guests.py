"""Strangers' models on workers, at moved weights, and as they were handed over afterwards."""

from __future__ import annotations

import copy
import io
import threading

import pytest
import torch
import torch.utils.checkpoint

import distlandscape as dl
from distlandscape.objective.forward_pass import forward_pass
from distlandscape.runtime import FiniteDifferenceHessian
from tests.helpers import relative
from tests.strangers.nets import ROWS, fitted

ODD = (
    "weight_norm, legacy, after a step",
    "kept activations",
    "checkpointing",
    "checkpointing, reentrant",
    "complex buffer",
    "derivatives in forward",
    "writes into its samples",
    "sparse embedding",
    "view behind a convolution",
    "DataParallel inside",
    "frozen layer",
)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.sentence is None])
def test_nothing_of_the_model_changes(name):
    row = ROWS[name]
    model = row.model
    model.train()
    state = copy.deepcopy(model.state_dict())
    flags = [(p.requires_grad, p.dtype, p._version) for p in model.parameters()]
    training = [module.training for module in model.modules()]
    kinds = [type(module) for module in model.modules()]
    H = dl.Hessian(dl.Objective(model, row.data, row.loss))
    H @ torch.ones(H.shape[0])
    dl.gradient(H.objective)
    assert all(torch.equal(t, state[key]) for key, t in model.state_dict().items() if isinstance(t, torch.Tensor))
    assert [(p.requires_grad, p.dtype, p._version) for p in model.parameters()] == flags
    assert [type(module) for module in model.modules()] == kinds
    assert [module.training for module in model.modules()] == training


@pytest.mark.parametrize("name", ["checkpointing", "checkpointing, reentrant", "weight_norm, legacy"])
def test_gradients_at_moved_weights(name):
    """What a module does behind a backward, with weights of its own, would be wrong there and nowhere else."""
    row = ROWS[name]
    exact = row.derivatives()[1]
    approximate = FiniteDifferenceHessian(dl.Objective(row.model, row.data, dtype=torch.float64))
    assert relative(approximate.apply(torch.eye(approximate.shape[0])), exact) < 1e-7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 4.0, 30.0])
def test_a_net_that_is_sure_of_every_sample_is_measured(scale, dtype):
    """All of its derivatives are what rounding leaves of 1 − p; that is no fault of a formula."""
    row = fitted(scale)
    _, exact = row.derivatives()
    H = dl.Hessian(dl.Objective(row.model, row.data, dtype=dtype))
    v = torch.ones(H.shape[0], dtype=dtype)
    # A logit's derivatives are of size |x||w|, and 1 − p is known to one eps: second derivatives so to their square.
    size = float(sum(p.detach().abs().max() for p in row.model.parameters())) ** 2 * float(row.data[0].abs().max()) ** 2
    assert (H @ v - exact.to(dtype) @ v).norm() <= 100 * torch.finfo(dtype).eps * size * len(v)


def test_switches_come_back_after_the_last_of_several_threads():
    def switches():
        return torch.backends.cuda.flash_sdp_enabled(), torch.backends.mha.get_fastpath_enabled()

    before = switches()
    one, other = forward_pass(), forward_pass()
    one.__enter__()
    thread = threading.Thread(target=other.__enter__)
    thread.start()
    thread.join()
    one.__exit__(None, None, None)
    assert switches() == (False, False)  # the other is still inside
    other.__exit__(None, None, None)
    assert switches() == before


def test_checkpointing_works_as_before_afterwards():
    before = torch.utils.checkpoint.CheckpointFunction
    with forward_pass(), forward_pass():
        assert torch.utils.checkpoint.CheckpointFunction is not before
    assert torch.utils.checkpoint.CheckpointFunction is before
    ran = []
    x = torch.ones(3, requires_grad=True)
    torch.utils.checkpoint.checkpoint(lambda x: ran.append(1) or x.exp(), x, use_reentrant=False).sum().backward()
    assert ran == [1, 1]  # once more in the backward


def reloaded(objective):
    buffer = io.BytesIO()
    torch.save(objective, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("name", ODD)
def test_survives_pickling_and_copying(name):
    row = ROWS[name]
    objective = dl.Objective(row.model, row.data, row.loss, dtype=torch.float64)
    g = dl.gradient(objective)
    for other in (copy.deepcopy(objective), reloaded(objective)):
        assert torch.equal(dl.gradient(other), g)
        assert other.weights_sha256 == objective.weights_sha256
    assert torch.equal(dl.gradient(objective.with_weights(objective.model.state_dict())), g)


@pytest.mark.ray
def test_the_same_bits_on_workers(ray_session):
    with dl.Pool(workers=2) as pool:
        for name in ODD:
            row = ROWS[name]
            objective = dl.Objective(row.model, row.data, row.loss, dtype=torch.float64)
            v = torch.linspace(-1, 1, objective.parameters, dtype=torch.float64)
            assert torch.equal(dl.Hessian(objective, pool) @ v, dl.Hessian(objective) @ v), name
