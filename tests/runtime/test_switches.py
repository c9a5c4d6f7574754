"""Torch's global switches: a product's bits do not depend on them, and they are found again as they were."""

from __future__ import annotations

import contextlib
import itertools
import threading

import numpy as np
import pytest
import torch

from distlandscape import spectral_density, top_eigenpairs, trace
from distlandscape.models import build_model
from distlandscape.objective import Objective
from distlandscape.objective.switches import OPERATIONS, full_precision
from distlandscape.runtime import GaussNewton, Hessian, LocalRunner

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PLACES = [("generic", "all"), *((b, o) for b in ("cuda", "mkldnn") for o in ("all", *OPERATIONS))]
get, put = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter


def build():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 3, 8, 8)).astype(np.uint8), rng.integers(0, 4, 40)
    features = build_model("cnn", (3, 8, 8), 16, {"norm": "batch"}, seed=0)
    head = build_model("mlp", (16,), 4, {"hidden": []}, seed=1)
    net = torch.nn.Sequential(features, torch.nn.Tanh(), Constant(), head)
    return Objective(net, (x, y))


class Constant(torch.nn.Module):
    """Makes tensors without naming type or device."""

    def forward(self, x):
        return x * torch.linspace(0.1, 1, 16) + torch.tensor(1 / 3)


def measured(objective):
    H, v = Hessian(objective), torch.from_numpy(np.ones(objective.parameters, "f4"))
    pairs, density = top_eigenpairs(H, 3), spectral_density(H, draws=1, steps=6)
    parts = [H @ v, GaussNewton(objective) @ v, pairs.eigenvectors, pairs.eigenvalues, density.nodes]
    return [np.asarray(part) for part in parts] + [trace(H, probes=4).value]


@pytest.fixture(scope="module")
def objective():
    return build()


@pytest.fixture(scope="module")
def expected(objective):
    return measured(objective)


@contextlib.contextmanager
def setting(put_it, value, before):
    put_it(value)
    try:
        yield
    finally:
        put_it(before)


def matrix_products(precision):
    if precision is None:
        as_imported()
    else:
        torch.set_float32_matmul_precision(precision)


SITUATIONS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "default type float64": lambda: setting(torch.set_default_dtype, torch.float64, torch.float32),
    "default type bfloat16": lambda: setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "default device": lambda: setting(torch.set_default_device, "meta", None),
    "a device entered": lambda: torch.device("meta"),
    "matrix products in bfloat16": lambda: setting(matrix_products, "medium", None),
    "all in bfloat16": lambda: setting(lambda v: put("generic", "all", v), "bf16", "none"),
    "deterministic": lambda: setting(torch.use_deterministic_algorithms, True, False),
}


def state():
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        *(get(*place) for place in PLACES),
    )


@pytest.mark.parametrize("name", SITUATIONS)
def test_whatever_the_user_has_set_the_numbers_are_the_same(objective, expected, name):
    outside = state()
    with SITUATIONS[name]():
        inside = state()
        assert inside != outside
        found = measured(objective)
        assert state() == inside
    assert state() == outside
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["no_grad", "inference_mode", "autocast", "all in bfloat16"])
def test_an_objective_made_there_is_measured_elsewhere(expected, name):
    with SITUATIONS[name]():
        made = build()
    assert all(np.array_equal(a, b) for a, b in zip(measured(made), expected, strict=True))


def raw():
    """Every switch, and what it follows: read under two settings of those above it."""
    seen = []
    for above in PLACES[0], PLACES[1], PLACES[5]:
        kept = own(*above)
        for value in ("ieee", "tf32"):
            put(*above, value)
            seen.append([get(*place) for place in PLACES])
        put(*above, kept)
    for older in (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda: torch.backends.cudnn.allow_tf32,
    ):
        try:
            seen.append(older())
        except RuntimeError:  # older and newer switches contradict each other
            seen.append("contradiction")
    return seen


def own(backend, operation):
    """Of a switch that does not depend on operations: generic's is what it shows."""
    if backend == "generic":
        return get("generic", "all")
    generic, seen = get("generic", "all"), []
    for value in ("ieee", "tf32"):
        put("generic", "all", value)
        seen.append(get(backend, operation))
    put("generic", "all", generic)
    return "none" if seen == ["ieee", "tf32"] else seen[0]


NEWER = [
    ("generic", "all", "tf32"),
    ("generic", "all", "bf16"),
    ("generic", "all", "ieee"),
    ("cuda", "all", "tf32"),
    ("cuda", "matmul", "tf32"),
    ("cuda", "conv", "tf32"),
    ("cuda", "conv", "ieee"),
    ("cuda", "rnn", "none"),
    ("mkldnn", "all", "bf16"),
    ("mkldnn", "matmul", "tf32"),
    ("mkldnn", "conv", "bf16"),
]
OLDER = [
    lambda: torch.set_float32_matmul_precision("high"),
    lambda: torch.set_float32_matmul_precision("medium"),
    lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    lambda: setattr(torch.backends.cudnn, "allow_tf32", True),
]


def as_imported():
    """What torch begins with, but for convolutions on CUDA, which nothing sets back to their first state."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for place in PLACES:
        if place not in (("cuda", "conv"), ("cuda", "rnn")):
            put(*place, "none")


def check_scope():
    before, cuda = raw(), [get("cuda", o) for o in OPERATIONS]
    with full_precision(CPU):
        assert not {get("mkldnn", o) for o in OPERATIONS} & {"tf32", "bf16"}
        assert [get("cuda", o) for o in OPERATIONS] == cuda
    assert raw() == before
    with full_precision(CUDA), full_precision(CPU):
        assert not {get(b, o) for b in ("cuda", "mkldnn") for o in OPERATIONS} & {"tf32", "bf16"}
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_tf32
    assert raw() == before


def test_tf32_is_off_in_a_pass_and_back_after_it_from_every_state():
    """The state torch begins with, and every pair of settings by the newer and the older switches, in both orders."""
    check_scope()
    settings = [(lambda s=s: put(*s)) for s in NEWER] + OLDER
    try:
        for first, second in itertools.permutations(settings, 2):
            as_imported()
            first()
            second()
            check_scope()
    finally:
        as_imported()


def test_a_pass_that_raises_puts_the_switches_back(objective):
    with SITUATIONS["all in bfloat16"](), SITUATIONS["no_grad"]():
        before = state()
        with pytest.raises(ZeroDivisionError):
            LocalRunner(threads=2).map_blocks(objective, lambda *arguments: 1 / 0)
        assert state() == before


def test_passes_in_two_threads_share_the_switches():
    """The first that ends does not switch the other one's precision back."""
    inside, leave = threading.Event(), threading.Event()

    def other():
        with full_precision(CPU):
            inside.set()
            leave.wait(10)

    with SITUATIONS["all in bfloat16"]():
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
        with full_precision(CPU):
            pass
        assert get("mkldnn", "matmul") == "ieee"
        leave.set()
        thread.join()
        assert get("mkldnn", "matmul") == "bf16"


def test_threads_are_those_of_the_pass(objective):
    seen = []

    def block(objective, batch):
        seen.append(torch.get_num_threads())
        return (torch.zeros(1),)

    runner = LocalRunner(threads=3)
    assert torch.get_num_threads() == 1
    runner.map_blocks(objective, block)
    runner.map_tasks(lambda item: seen.append(torch.get_num_threads()), [0])
    assert set(seen) == {3}
    assert runner.threads == 3
    assert torch.get_num_threads() == 1


def test_tasks_keep_full_precision_too():
    """Trainings of a sweep: their record says float32."""
    with SITUATIONS["all in bfloat16"]():
        (seen,) = LocalRunner().map_tasks(lambda item: get("mkldnn", "matmul"), [0])
        assert get("mkldnn", "matmul") == "bf16"
    assert seen == "ieee"
