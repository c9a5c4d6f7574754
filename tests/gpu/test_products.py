"""Every operator on a pretended GPU: nothing mixes devices, and the bits are the CPU's."""

from __future__ import annotations

import copy
import pickle
from itertools import product

import numpy as np
import pytest
import torch

from distlandscape import spectral_density, top_eigenpairs
from distlandscape.curvature import hessian_products
from distlandscape.objective import Objective
from distlandscape.runtime import (
    FiniteDifferenceHessian,
    Fisher,
    GaussNewton,
    Hessian,
    LocalRunner,
    ProductPlan,
    Residual,
    loss_accuracy_gradient,
    placed,
)
from distlandscape.runtime.evaluate import Evaluator
from distlandscape.runtime.tree import Subtree
from distlandscape.runtime.tune import Question, pick
from tests.gpu.nets import NETS, build
from tests.gpu.pretended import CPU, CUDA, DeviceTensor, pretended, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

OPERATORS = (Hessian, GaussNewton, Residual, Fisher, FiniteDifferenceHessian)


DEEP = ("resnet", "vit")  # each of their operations is pretended: one vector, and a block at a time


def vectors(objective, count=2):
    return np.random.default_rng(1).standard_normal((count, objective.parameters)).astype("f4")


def runner(method="kept", micro_batch=16):
    return LocalRunner(micro_batch=micro_batch, plan=ProductPlan(method))


def products(objective, method, deep):
    """Twice what is kept: its linearizations give the second ones."""
    V, results = vectors(objective, 1 if deep else 2), []
    for operator in OPERATORS:
        H = operator(objective, runner(method, 20 if deep else 16))
        again = method == "kept" and operator is not FiniteDifferenceHessian
        results += [H.apply(V) for _ in range(1 + again)]
    return results


@pytest.mark.parametrize(
    ("name", "method"),
    [*((name, "kept") for name in NETS), *product(("mlp", "cnn"), ("double_backward", "forward_over_reverse"))],
)
def test_all_operators_give_the_cpus_bits(name, method):
    objective = build(name)
    expected = products(objective, method, name in DEEP)
    with pretended():
        assert runner().device == "cuda"
        found = products(objective, method, name in DEEP)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(type(t) is torch.nn.Parameter and t.device == CPU for t in objective.model.parameters())


def test_measurements_give_the_cpus_bits():
    objective = build("cnn")

    def measured():
        H = Hessian(objective, runner())
        pairs, density = top_eigenpairs(H, 2), spectral_density(H, draws=1, steps=5)
        loss, accuracy, gradient = loss_accuracy_gradient(objective, H.runner)[:3]
        return pairs.eigenvalues, pairs.eigenvectors, density.nodes, loss, accuracy, gradient

    expected = measured()
    with pretended():
        found = measured()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_model_is_copied_to_the_device_once():
    objective = build("cnn")
    tensors = [*objective.model.parameters(), *objective.model.buffers()]
    V = vectors(objective)[:1]
    with pretended() as device:
        H = Hessian(objective, runner())
        H.apply(V)
        sent = [size for direction, size in device.copies if direction == "to device"]
        assert all(sent.count(t.nbytes) >= 1 for t in tensors)
        device.copies.clear()
        H.apply(V)
    # The vector goes there, the float64 sums come back, and a number of each block says whether they are finite.
    assert [size for direction, size in device.copies if direction == "to device"] == [V.nbytes]
    assert [size for direction, size in device.copies if direction == "to host" and size > 8] == [2 * V.nbytes]
    assert [*objective.model.parameters(), *objective.model.buffers()] == tensors


@pytest.mark.parametrize("change", ["in place", "another objective"])
def test_other_weights_are_copied_anew(change):
    objective = build("mlp")
    V = vectors(objective)
    weights = copy.deepcopy(objective.model.state_dict())
    larger = {name: 1.5 * t for name, t in weights.items()}

    def both(with_runner):
        H = Hessian(objective, with_runner)
        before = H.apply(V)
        if change == "another objective":
            return before, Hessian(objective.with_weights(larger), with_runner).apply(V)
        objective.model.load_state_dict(larger)
        after = H.apply(V)
        objective.model.load_state_dict(weights)
        return before, after

    expected = both(runner())
    with pretended():
        found = both(runner())
    assert not torch.equal(*expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_what_is_kept_of_an_objective_is_dropped_before_the_next_takes_memory(monkeypatch):
    """A model and linearisations that each fit alone: products of the second run as those of the first did."""
    kept, real, here = [], placed.detached_copy, runner()

    def copied(model):
        kept.append(len(here._evaluator.kept))
        return real(model)

    monkeypatch.setattr(placed, "detached_copy", copied)
    with pretended():
        here = runner()
        for objective in (build("mlp"), build("mlp")):
            Hessian(objective, here).apply(vectors(objective))
            assert len(here._evaluator.kept) > 0
    assert kept == [0, 0]


def test_a_model_on_the_device_stays_there_and_pickles_as_one_of_the_cpu():
    objective = build("cnn")
    V = vectors(objective)
    expected = Hessian(objective, runner()).apply(V)
    with pretended():
        objective.model.to(CUDA)
        tensors = [*objective.model.parameters(), *objective.model.buffers()]
        assert torch.equal(Hessian(objective, runner()).apply(V), expected)
        (sums,) = Evaluator(CPU, 16).subtree_sums(objective, hessian_products, [V], [Subtree(0, 2)])
        assert np.array_equal((sums[0] / objective.samples).astype("f4"), expected)
        assert copy.copy(objective).model is objective.model
        assert objective.with_parameters(["*weight"]).model is objective.model
        text = pickle.dumps(objective)
        assert all(a is b for a, b in zip(objective.model.parameters(), tensors, strict=False))
        assert all(isinstance(t, DeviceTensor) for t in tensors)
    other: Objective = pickle.loads(text)  # noqa: S301
    assert {type(t) for t in other.model.parameters()} == {torch.nn.Parameter}
    assert torch.equal(Hessian(other, runner()).apply(V), expected)


def test_a_probe_leaves_the_model_where_it_was():
    objective = build("cnn")
    with pretended():
        pick(Question(objective, [(hessian_products, ())], ProductPlan(memory=2**30), micro_batch=16, on_cpu=False))
    assert {t.device for t in objective.model.parameters()} == {CPU}


def test_tf32_is_off_while_a_pass_runs_only():
    get, seen = torch._C._get_fp32_precision_getter, []
    switches = [("cuda", "matmul"), ("cuda", "conv"), ("cuda", "rnn")]

    def block(objective, batch):
        seen.append([get(*switch) for switch in switches])
        return (torch.zeros(1, device=batch.x.device),)

    before = [get(*switch) for switch in switches]
    with pretended():
        runner().map_blocks(build("mlp"), block)
    assert "tf32" in before  # torch's default for convolutions
    assert {value for values in seen for value in values} <= {"ieee", "none"}
    assert [get(*switch) for switch in switches] == before


def test_constants_of_a_model_are_made_on_the_device():
    """A forward that names no device runs where its samples are."""

    class Positions(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x + torch.arange(6) / 6)

    rng = np.random.default_rng(0)
    data = rng.standard_normal((20, 6)).astype("f4"), rng.integers(0, 4, 20)
    objective = Objective(Positions(6, 4), data)
    expected = Hessian(objective, runner()).apply(vectors(objective))
    with pretended():
        assert torch.equal(Hessian(objective, runner()).apply(vectors(objective)), expected)


def test_what_cuda_forbids_raises():
    """The tests above can fail."""
    x, w = torch.randn(2, 3, 4, 4), torch.ones(3)
    back = torch.ops.aten.native_batch_norm_backward
    arguments = False, 1e-5, [True, True, True]
    with pretended():
        x_there, w_there = x.to("cuda"), w.to("cuda")
        with pytest.raises(RuntimeError, match="same device"):
            x_there + x
        with pytest.raises(RuntimeError):
            x_there.numpy()
        with pytest.raises(RuntimeError, match="should always be defined"):
            back(x_there, x_there, w_there, w_there, w_there, None, None, *arguments)
        empty = x_there.new_empty(0)
        found = back(x_there, x_there, w_there, w_there, w_there, empty, empty, *arguments)
        expected = back(x, x, w, w, w, None, None, *arguments)
        assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True))
    assert not torch.cuda.is_available()
