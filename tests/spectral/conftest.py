"""One thread, and a trained net with its dense Hessian for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import distlandscape as dl
from distlandscape.data import load_source
from distlandscape.models import build_model
from distlandscape.training import train
from tests.spectral.helpers import Array


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Net:
    """A trained net's Hessian as the library's operator, as a dense matrix, and its exact eigenvalues, ascending."""

    H: dl.Hessian
    dense: Array
    eigenvalues: Array


@pytest.fixture(scope="session")
def net(one_thread: None) -> Net:
    """64 → 24 → 10 on 200 digits, P = 1,810, trained until outliers stand out from the bulk."""
    data = load_source("digits", samples=200, blocks=1)
    model = build_model("mlp", (1, 8, 8), 10, {"hidden": (24,), "activation": "tanh"}, seed=0)
    objective = dl.Objective(model, data, dtype=torch.float64)
    kept: dict[str, torch.Tensor] = {}
    train(
        objective,
        steps=150,
        seed=0,
        learning_rate=0.1,
        momentum=0.9,
        batch_size=50,
        keep_at=[150],
        keep=lambda _, trained: kept.update({k: v.detach().clone() for k, v in trained.state_dict().items()}),
        report=lambda *_: None,
    )
    H = dl.Hessian(objective.with_weights(kept))
    P = H.shape[0]
    columns = [H.apply(torch.eye(P, dtype=torch.float64)[i : i + 181]) for i in range(0, P, 181)]
    dense = torch.cat(columns).numpy()
    assert np.abs(dense - dense.T).max() <= 1e-13 * np.abs(dense).max()
    dense = (dense + dense.T) / 2
    return Net(H, dense, np.linalg.eigvalsh(dense))
