"""The table of strangers' nets, data and losses: the value of plain torch, or one sentence."""

from __future__ import annotations

import warnings

import pytest
import torch

import distlandscape as dl
from distlandscape.runtime import LocalRunner, ProductPlan
from tests.helpers import relative
from tests.strangers import data, losses, nets

ROWS = {**nets.ROWS, **data.ROWS, **losses.ROWS}
# Sums of N terms in float64, each through a handful of layers of condition numbers below 10³: 10³·eps·10³, rounded up.
EXACT = 1e-9


def test_enough():
    assert len(ROWS) >= 80
    assert len(ROWS) == len(nets.ROWS) + len(data.ROWS) + len(losses.ROWS)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.sentence is None])
def test_measured(name):
    row = ROWS[name]
    gradient, exact = row.derivatives()
    objective = dl.Objective(row.model, row.data, row.loss, **{"dtype": torch.float64, **row.options})
    assert relative(dl.gradient(objective), gradient) < EXACT
    V = torch.randn(3, objective.parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    products = [
        dl.Hessian(objective, LocalRunner(micro_batch=size, plan=ProductPlan(method))).apply(V)
        for method, size in (("kept", 256), ("double_backward", 256), ("kept", 5))
    ]
    assert torch.equal(products[0], products[1])
    assert all(relative(product, V @ exact) < EXACT for product in products)
    G, R = (kind(objective).apply(V) for kind in (dl.GaussNewton, dl.Residual))
    assert relative(G + R, V @ exact) < EXACT


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.sentence is not None])
def test_refused(name):
    row = ROWS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if row.operator:  # first derivatives may do
            objective = dl.Objective(row.model, row.data, row.loss, **row.options)
        with pytest.raises(dl.InputError, match=row.sentence) as caught:
            dl.Hessian(objective) if row.operator else dl.Objective(row.model, row.data, row.loss, **row.options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
