"""What is given to a pool, a runner or an operator and is something else: one sentence, before anything starts."""

import numpy as np
import pytest
import torch

import distlandscape as dl
from distlandscape.errors import InputError
from distlandscape.runtime import FiniteDifferenceHessian, LocalRunner, Pool, ProductPlan, loss_accuracy_gradient

WHOLE = "must be a whole number of at least 1"
POSITIVE = "must be a positive number and gpus_per_worker="
POOLS = [
    ({"workers": 0}, "a pool needs at least 1"),
    ({"workers": -1}, "a pool needs at least 1"),
    ({"workers": "2"}, f"workers='2' {WHOLE}"),
    ({"workers": 2.5}, f"workers=2.5 {WHOLE}"),
    ({"workers": True}, f"workers=True {WHOLE}"),
    ({"transport": "pigeon"}, "is unknown; known: 'store', 'collective'"),
    ({"cpus_per_worker": 0}, POSITIVE),
    ({"cpus_per_worker": "a"}, f"cpus_per_worker='a' {POSITIVE}"),
    ({"cpus_per_worker": float("inf")}, f"cpus_per_worker=inf {POSITIVE}"),
    ({"gpus_per_worker": -1}, POSITIVE),
    ({"gpus_per_worker": float("nan")}, POSITIVE),
    ({"gpus_per_worker": 2}, "a worker computes on one GPU"),
    ({"gpus_per_worker": 0.5, "transport": "collective"}, "need whole ones"),
    ({"threads": 0}, "threads=0 must be at least 1"),
    ({"threads": 1.5}, f"threads=1.5 {WHOLE}"),
    ({"micro_batch": 0}, "micro_batch=0 must be at least 1"),
    ({"micro_batch": 2.5}, f"micro_batch=2.5 {WHOLE}"),
    ({"plan": "kept"}, "plan='kept' is no ProductPlan; make one"),
]


@pytest.mark.parametrize(("options", "words"), POOLS, ids=lambda value: str(value)[:40])
def test_a_pool_of_bad_sizes(options, words):
    with pytest.raises(InputError) as caught:
        Pool(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize("options", [{"threads": 1.5}, {"micro_batch": "8"}, {"plan": "kept"}], ids=str)
def test_a_runner_of_bad_sizes(options):
    with pytest.raises(InputError):
        LocalRunner(**options)


def test_numbers_of_numpy_are_numbers():
    assert Pool(np.int64(3), np.float32(0.5), micro_batch=np.int32(4), plan=ProductPlan()).workers == 3


TAKERS = [
    dl.Hessian,
    dl.GaussNewton,
    dl.Residual,
    dl.Fisher,
    FiniteDifferenceHessian,
    dl.gradient,
    loss_accuracy_gradient,
]


@pytest.mark.parametrize("take", TAKERS, ids=lambda take: take.__name__)
def test_no_objective_or_no_pool(take, objective):
    for given, name in ((torch.nn.Linear(2, 3), "Linear"), (None, "NoneType"), (dl.Objective, "Objective")):
        with pytest.raises(InputError, match=f"an Objective is needed, not {name}; make one"):
            take(given)
    for pool in (Pool, LocalRunner, 3):
        with pytest.raises(InputError, match=r"is no Pool; use `with Pool\(...\) as pool:`, or leave it out"):
            take(objective, pool)
