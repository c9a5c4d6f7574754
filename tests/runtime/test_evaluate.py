"""Kept and fresh linearisations give the same bits, within a budget; what is not finite is found."""

from __future__ import annotations

import functools
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import weakref
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import distlandscape as dl
from distlandscape.curvature import gauss_newton_products, hessian_products, loss_and_gradient
from distlandscape.curvature.graph import held_bytes
from distlandscape.curvature.product import Product
from distlandscape.data import BlockStore
from distlandscape.errors import InputError, OutOfMemory
from distlandscape.models import build_model
from distlandscape.objective.failures import is_out_of_memory
from distlandscape.runtime import LocalRunner, kept
from distlandscape.runtime.evaluate import Evaluator
from distlandscape.runtime.memory import available_memory
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.tree import Subtree, TreeSum
from tests.curvature.test_methods import WrongCube
from tests.helpers import relative, samples

CPU = torch.device("cpu")
SHAPE, C, BLOCKS = (1, 6, 6), 3, 4


@pytest.fixture(scope="module")
def objective():
    """P = 389, N = 83 in 4 uneven blocks, float32."""
    x, y = samples(SHAPE, C, n=83)
    model = build_model("cnn", SHAPE, C, {"channels": [4, 6], "norm": "batch"}, seed=0)
    return dl.Objective(model, BlockStore.from_arrays(x, y, blocks=BLOCKS), dtype=torch.float32)


@pytest.fixture(scope="module")
def one_micro_batch(objective):
    """Bytes of the kept linearisation of a whole micro-batch, of 6."""
    evaluator = Evaluator(CPU, 6)
    block_sums(evaluator, objective, [0])
    return held_bytes(evaluator.kept._held[0, 0].roots)


def vectors(objective, K=2):
    return torch.randn(K, objective.parameters, generator=torch.Generator().manual_seed(0)).numpy()


def block_sums(evaluator, objective, order, function=hessian_products, V_KP=None):
    V_KP = vectors(objective) if V_KP is None else V_KP
    return {block: evaluator.subtree_sums(objective, function, (V_KP,), [Subtree(block, 1)])[0][0] for block in order}


@functools.cache
def fresh_sums(objective, function):
    return block_sums(Evaluator(CPU, 6, ProductPlan("double_backward")), objective, range(BLOCKS), function)


@settings(max_examples=8, deadline=None)
@given(st.data())
@pytest.mark.parametrize("function", [hessian_products, gauss_newton_products])
def test_any_budget_and_any_order_of_blocks_give_the_same_bits(objective, one_micro_batch, function, data):
    fresh = fresh_sums(objective, function)
    budget = data.draw(st.integers(one_micro_batch, 20 * one_micro_batch))
    evaluator = Evaluator(CPU, 6, ProductPlan(memory=budget))
    for _ in range(2):
        order = data.draw(st.permutations(range(BLOCKS)))
        found = block_sums(evaluator, objective, order, function)
        assert evaluator.kept.bytes <= budget
        for block in order:
            assert np.array_equal(found[block], fresh[block])


def test_as_much_is_kept_as_fits(objective, one_micro_batch):
    counts = []
    for share in (1, 3, 100):
        evaluator = Evaluator(CPU, 6, ProductPlan(memory=share * one_micro_batch))
        for _ in range(2):
            evaluator.subtree_sums(objective, hessian_products, (vectors(objective),), [Subtree(0, BLOCKS)])
        counts.append(len(evaluator.kept))
    assert counts == [1, 3, 4 * BLOCKS]
    nothing = Evaluator(CPU, 6, ProductPlan("double_backward"))
    block_sums(nothing, objective, [0])
    assert len(nothing.kept) == 0


def test_a_kept_linearisation_is_not_made_again(objective, monkeypatch):
    evaluator, made = Evaluator(CPU, 6), []
    real = type(hessian_products).linearise
    monkeypatch.setattr(type(hessian_products), "linearise", lambda *a: made.append(1) or real(*a))
    read = []
    tensors = objective.tensors
    monkeypatch.setattr(objective, "tensors", lambda *a, **k: read.append(1) or tensors(*a, **k))
    for K in (1, 3):
        block_sums(evaluator, objective, range(BLOCKS), V_KP=vectors(objective, K))
        assert (len(made), len(read)) == (4 * BLOCKS, 4 * BLOCKS)


def test_another_function_objective_or_weights_drop_what_is_kept(objective):
    evaluator = Evaluator(CPU, 6)
    fresh = lambda o, f: block_sums(Evaluator(CPU, 6, ProductPlan("double_backward")), o, [0], f)[0]  # noqa: E731
    other = objective.with_weights({k: 0.9 * v for k, v in objective.model.state_dict().items()})
    last = None
    for o in (objective, other):
        for f in (hessian_products, gauss_newton_products):
            found = block_sums(evaluator, o, [0], f)[0]
            assert np.array_equal(found, fresh(o, f))
            assert last is None or not np.array_equal(found, last)
            assert len(evaluator.kept) == 4
            last = found
    evaluator.subtree_sums(other, loss_and_gradient, (), [Subtree(0, 1)])
    assert len(evaluator.kept) == 4  # gradients in between do no harm
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(1.1)
    found = block_sums(evaluator, other, [0], gauss_newton_products)[0]
    assert np.array_equal(found, fresh(other, gauss_newton_products))
    assert not np.array_equal(found, last)


def test_another_micro_batch_drops_what_is_kept(objective):
    """Out of memory elsewhere, a pass starts again with a smaller one."""
    evaluator = Evaluator(CPU, 12)
    block_sums(evaluator, objective, [0])
    evaluator.micro_batch = 6
    found = block_sums(evaluator, objective, [0])[0]
    assert np.array_equal(found, block_sums(Evaluator(CPU, 6, ProductPlan("double_backward")), objective, [0])[0])
    assert len(evaluator.kept) == 4


def test_dropping_gives_the_memory_back_at_once(objective):
    evaluator = Evaluator(CPU, 6)
    block_sums(evaluator, objective, range(BLOCKS))
    watched = [weakref.ref(linear.roots[0]) for linear in evaluator.kept._held.values()]
    gc.disable()
    try:
        evaluator.kept.forget()
        assert not any(reference() is not None for reference in watched)
    finally:
        gc.enable()


@pytest.mark.parametrize("memory", ["auto", 2**30])
def test_running_out_of_memory_while_keeping_goes_on_fresh(objective, monkeypatch, memory):
    fresh = block_sums(Evaluator(CPU, 6, ProductPlan("double_backward")), objective, range(BLOCKS))
    evaluator, real, held = Evaluator(CPU, 6, ProductPlan(memory=memory)), type(hessian_products).linearise, []

    def fails_at_the_fifth(*arguments):
        held.append(len(evaluator.kept))
        if len(held) == 5:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory")
        return real(*arguments)

    monkeypatch.setattr(type(hessian_products), "linearise", fails_at_the_fifth)
    for _ in range(2):
        found = block_sums(evaluator, objective, range(BLOCKS))
        assert all(np.array_equal(found[block], fresh[block]) for block in range(BLOCKS))
        assert (len(evaluator.kept), evaluator.kept.bytes, held[:6]) == (0, 0, [0, 1, 2, 3, 4, 0])


def test_the_bytes_kept_are_those_of_every_linearisation(objective):
    evaluator = Evaluator(CPU, 6)
    block_sums(evaluator, objective, range(BLOCKS))
    held = evaluator.kept._held.values()
    assert evaluator.kept.bytes == sum(held_bytes(linear.roots) for linear in held)


def test_running_out_of_memory_beside_what_is_kept_gives_that_up_first(objective, one_micro_batch, monkeypatch):
    evaluator = Evaluator(CPU, 6, ProductPlan(memory=one_micro_batch))
    exact = block_sums(evaluator, objective, [0])[0]
    real, failures = type(hessian_products).linearise, [True]

    def fails_once(product, objective, batch):
        if failures and evaluator.kept.bytes:
            failures.pop()
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(product, objective, batch)

    monkeypatch.setattr(type(hessian_products), "linearise", fails_once)
    assert np.array_equal(block_sums(evaluator, objective, [0])[0], exact)
    assert (len(evaluator.kept), failures) == (0, [])
    always = RuntimeError("DefaultCPUAllocator: can't allocate memory")
    monkeypatch.setattr(type(hessian_products), "linearise", mock.Mock(side_effect=always))
    with pytest.raises(OutOfMemory, match="6 samples"):
        block_sums(evaluator, objective, [0])


def test_other_errors_are_not_taken_for_lack_of_memory(objective, monkeypatch):
    def fails(roots):
        raise RuntimeError("some other fault")

    monkeypatch.setattr(kept, "held_bytes", fails)
    with pytest.raises(RuntimeError, match="some other fault"):
        block_sums(Evaluator(CPU, 6), objective, [0])


def test_torchs_own_error_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_auto_leaves_half_of_the_memory_to_others(objective, monkeypatch):
    left = iter([1000, 900, 700, 501, 499, *[900] * 99])
    monkeypatch.setattr(kept, "available_memory", lambda device: next(left))
    evaluator = Evaluator(CPU, 6)
    evaluator.subtree_sums(objective, hessian_products, (vectors(objective),), [Subtree(0, BLOCKS)])
    assert len(evaluator.kept) == 3
    assert 2**20 < available_memory(CPU) < 2**50


def test_a_budget_below_one_sample_says_so(objective, one_micro_batch):
    evaluator = Evaluator(CPU, 6, ProductPlan(memory=1000))
    with pytest.raises(InputError, match="1000 bytes does not hold the linearisation of one sample, which takes") as e:
        block_sums(evaluator, objective, [0])
    needed = int(str(e.value).split("takes ")[1].split(";")[0])
    assert needed == -(-one_micro_batch // 6)
    evaluator = Evaluator(CPU, 6, ProductPlan(memory=needed))  # a sample, but no micro-batch: all fresh
    block_sums(evaluator, objective, [0])
    assert len(evaluator.kept) == 0


@pytest.mark.parametrize(("method", "channels_last"), [("forward_over_reverse", True), ("kept", False)])
def test_other_plans_give_the_same_numbers(objective, method, channels_last):
    plain = dl.Hessian(objective, LocalRunner(micro_batch=6, plan=ProductPlan("double_backward")))
    other = dl.Hessian(objective, LocalRunner(micro_batch=6, plan=ProductPlan(method, channels_last=channels_last)))
    V_KP = torch.from_numpy(vectors(objective))
    products = other.apply(V_KP)
    assert relative(products, plain.apply(V_KP)) < 1e-5
    assert torch.equal(products, other.apply(V_KP))


def test_forward_over_reverse_is_refused_where_it_is_wrong():
    objective = dl.Objective(nn.Sequential(nn.Linear(4, C), WrongCube()), samples((4,), C))
    H = dl.Hessian(objective, LocalRunner(plan=ProductPlan("forward_over_reverse")))
    with pytest.raises(InputError, match="forward over reverse differs from double backward"):
        H @ torch.ones(objective.parameters)


@pytest.mark.parametrize("method", ["kept", "double_backward", "forward_over_reverse"])
def test_what_is_not_finite_is_named(method):
    """One sample of the second micro-batch of block 1 has an infinite second derivative."""
    x, y = samples((4,), C, n=40)
    x = np.abs(x) + 0.1
    model = nn.Linear(4, C).double()
    nn.init.ones_(model.weight)
    nn.init.zeros_(model.bias)
    root = lambda z, y: z.abs().sqrt().sum(1)  # noqa: E731
    x[27] = 0
    store = BlockStore.from_arrays(x, y, blocks=2)
    runner = LocalRunner(micro_batch=6, plan=ProductPlan(method))
    H = dl.Hessian(dl.Objective(model, store, root), runner)
    with pytest.raises(InputError, match=r"not finite in block 1, micro-batch of samples 26…31;"):
        H @ torch.ones(15).double()


def test_a_function_of_blocks_may_return_nan(objective):
    """The share of correct answers is nan where there are no labels."""
    x, _ = samples(SHAPE, C, n=83)
    regression = dl.Objective(objective.model, (x, np.ones((83, C))), "mse")
    totals, _ = LocalRunner().map_blocks(regression, loss_and_gradient)
    assert np.isnan(totals[1])
    assert not isinstance(loss_and_gradient, Product)


def test_blocks_are_added_in_the_tree(objective):
    """The naive twin: every block by itself, then the tree."""
    by_block = block_sums(Evaluator(CPU, 6, ProductPlan("double_backward")), objective, range(BLOCKS))
    tree = TreeSum(np.add)
    for block in range(BLOCKS):
        tree.push(1, by_block[block])
    (total,) = LocalRunner(micro_batch=6).map_blocks(objective, hessian_products, (vectors(objective),))
    assert np.array_equal(total, tree.result())


def test_plans():
    plan = ProductPlan("double_backward", 10**9, True)
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301
    with pytest.raises(InputError, match="product 'fast' is unknown; known: 'kept', 'double_backward', 'forward_over"):
        ProductPlan("fast")
    for memory in (0, -5, True, 1.5, "much"):
        with pytest.raises(InputError, match="must be a positive number of bytes or 'auto'"):
            ProductPlan(memory=memory)


RESIDENT = """
    import torch
    from pathlib import Path
    import distlandscape as dl
    from distlandscape.curvature import hessian_products
    from distlandscape.models import build_model
    from distlandscape.runtime.evaluate import Evaluator
    from distlandscape.runtime.plan import ProductPlan
    from distlandscape.runtime.tree import Subtree
    from tests.helpers import samples

    def resident():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    torch.set_num_threads(1)
    model = build_model("cnn", (1, 28, 28), 10, {"channels": [16, 32, 64], "norm": "batch"}, seed=0)
    objective = dl.Objective(model, samples((1, 28, 28), 10, n=320), dtype=torch.float32)
    evaluator = Evaluator(torch.device("cpu"), 25, ProductPlan(memory=BUDGET))
    v = torch.randn(1, objective.parameters).numpy()
    fresh = Evaluator(torch.device("cpu"), 25, ProductPlan("double_backward"))
    fresh.subtree_sums(objective, hessian_products, (v,), [Subtree(0, 2)])
    before = resident()
    for _ in range(2):
        evaluator.subtree_sums(objective, hessian_products, (v,), [Subtree(0, objective.data.blocks)])
    print(resident() - before, evaluator.kept.bytes, len(evaluator.kept))
"""


def test_the_budget_by_the_resident_set_of_a_process():
    """What the graphs hold by our count is what the process grows by, whatever the allocator does."""
    code = textwrap.dedent(RESIDENT).replace("BUDGET", str(28 * 2**20))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    grown, counted, number = map(int, run.stdout.split())
    assert 20 * 2**20 < counted <= 28 * 2**20
    assert 0 < number < 16
    assert 0.85 * counted < grown < 1.2 * counted + 8 * 2**20
