"""Flat samples: counted in the arithmetic that would lose their curvature."""

from __future__ import annotations

import numpy as np
import torch

import distlandscape as dl
from distlandscape.curvature.flat_samples import flat_sums
from distlandscape.runtime import LocalRunner


def test_a_sample_is_flat_once_every_p_is_0_or_1_to_the_last_bit():
    """Logits (x, 0): p rounds to 1 near 17 in float32, the other p to 0 near 104 there and near 746 in float64."""
    model = torch.nn.Linear(1, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0], [0.0]]))
    x = np.array([[v] for v in (0.0, 10.0, 16.0, 18.0, 50.0, 80.0, 110.0, 300.0, 700.0, 800.0)])
    objective = dl.Objective(model, (x, np.zeros(len(x), dtype=np.int64)), dtype=torch.float64)
    flat, flat64, rounded = LocalRunner().map_blocks(objective, flat_sums)[0]
    assert (flat, flat64, rounded) == (4, 1, 7)


def test_a_flat_sample_has_no_part_in_the_gauss_newton_term():
    """In float32 at 110 the whole term is 0, in float64 it is not: this is why points are measured in float64."""
    store = (np.full((4, 1), 110.0), np.zeros(4, dtype=np.int64))
    norms = {}
    for dtype in (torch.float32, torch.float64):
        model = torch.nn.Linear(1, 2, bias=False).to(dtype)
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[1.0], [0.0]]))
        objective = dl.Objective(model, store, dtype=dtype)
        norms[dtype] = float(dl.GaussNewton(objective).apply(torch.eye(2, dtype=dtype)).norm())
    assert norms[torch.float32] == 0
    assert 0 < norms[torch.float64] < 1e-40
