"""An independent library gives the same products."""

from __future__ import annotations

import pytest
import torch
from curvlinops import GGNLinearOperator, HessianLinearOperator
from torch import nn

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner
from tests.helpers import relative, samples

C = 3
SHAPE = (1, 4, 4)
PAIRS = [(dl.Hessian, HessianLinearOperator), (dl.GaussNewton, GGNLinearOperator)]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("net", ["mlp", "cnn"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("prefix", ["", "1."])
def test_same_products(ours, theirs, net, activation, loss, prefix):
    x, y = samples(SHAPE, C)
    options = {"hidden": [5]} if net == "mlp" else {"channels": [3]}
    if net == "cnn":
        prefix = prefix.replace("1", "0")
    model = build_model(net, SHAPE, C, {**options, "activation": activation}, seed=2).double()
    chosen = [p for name, p in model.named_parameters() if name.startswith(prefix)]
    targets = torch.tensor(y)
    scale, their_loss = 1, nn.CrossEntropyLoss(reduction="mean")
    if loss == "mse":  # theirs is also a mean over outputs
        scale, their_loss, targets = C, nn.MSELoss(reduction="mean"), torch.eye(C).double()[targets]
    batches = [(torch.tensor(x[a:b]), targets[a:b]) for a, b in ((0, 20), (20, 36), (36, 37))]
    reference = theirs(model, their_loss, chosen, batches, check_deterministic=False)

    store = BlockStore.from_arrays(x, y, blocks=2)
    objective = dl.Objective(model, store, loss, parameters=[prefix + "*"])
    H = ours(objective, LocalRunner(micro_batch=6))
    V_PK = torch.randn(H.shape[0], 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert relative(H @ V_PK, scale * (reference @ V_PK)) < 1e-11
