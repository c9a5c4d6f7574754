"""Vectorised gradients of single samples, held against one backward pass a sample and logit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from distlandscape.curvature import logit_gradients as module
from distlandscape.curvature.logit_gradients import gradient_chunks, logit_gradients, require_logit_gradients
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from tests.curvature.nets import NETS, C, make
from tests.helpers import Dense, relative, samples

N = 5


def one_hot(n):
    return torch.eye(C).double().expand(n, C, C)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("part", [False, True])
def test_every_kind_of_layer(name, part):
    model, shape, some = make(name)
    x, y = samples(shape, C, N)
    objective = Objective(model, (x, y), dtype=torch.float64, parameters=some if part else None)
    J_NCP = Dense(model, x, y, patterns=objective.names).jacobian()
    rows = logit_gradients(objective, torch.from_numpy(x), one_hot(N))
    assert relative(rows, J_NCP) < 1e-12
    require_logit_gradients(objective)


def test_batch_statistics_are_differentiated_through():
    model, shape, _ = make("batch_norm")
    x, y = samples(shape, C, N)
    objective = Objective(model, (x, y), dtype=torch.float64, norm="batch", norm_samples=4)
    J_NCP = Dense(model, x, y, fixed=4).jacobian()
    assert relative(logit_gradients(objective, torch.from_numpy(x), one_hot(N)), J_NCP) < 1e-12


@pytest.mark.parametrize("size", [1, 4000, 10**9])
def test_chunks_are_the_rows_in_order(size, monkeypatch):
    monkeypatch.setattr(module, "ROWS_BYTES", size)
    model, shape, _ = make("mlp")
    x, y = samples(shape, C, N)
    objective = Objective(model, (x, y), dtype=torch.float64)
    u_NKC = torch.from_numpy(np.random.default_rng(1).standard_normal((N, 2, C)))
    parts = list(gradient_chunks(objective, torch.from_numpy(x), u_NKC))
    assert [i for part, _ in parts for i in range(N)[part]] == list(range(N))
    assert len(parts) == {1: 5, 4000: 2, 10**9: 1}[size]
    J_NCP = Dense(model, x, y).jacobian()
    assert relative(torch.cat([rows for _, rows in parts]), torch.einsum("ncp,nkc->nkp", J_NCP, u_NKC)) < 1e-12


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, C)

    def forward(self, x):
        return self.layer(x) if x.sum() > 1e9 else 2 * self.layer(x)


class Detached(torch.autograd.Function):
    """Its backward looks at the whole batch when it is vectorised."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return g * (3.0 if torch._C._functorch.is_batchedtensor(g) else 1.0)


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, C)

    def forward(self, x):
        return Detached.apply(self.layer(x))


@pytest.mark.parametrize(("model", "words"), [(Branches, "without branches"), (Odd, "differ from those taken one by")])
def test_models_that_cannot_be_vectorised_are_refused(model, words):
    torch.manual_seed(0)
    objective = Objective(model(), samples((5,), C, N), dtype=torch.float64)
    with pytest.raises(InputError, match=words):
        require_logit_gradients(objective)
