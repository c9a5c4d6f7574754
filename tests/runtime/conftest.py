import numpy as np
import pytest
import torch

from distlandscape.models import build_model
from distlandscape.objective import Objective
from distlandscape.runtime import session


@pytest.fixture(scope="session")
def objective():
    """P = 243, N = 83 in 4 uneven blocks."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((83, 1, 4, 4)), rng.integers(0, 3, 83)
    model = build_model("mlp", (1, 4, 4), 3, {"hidden": [12]}, seed=0)
    return Objective(model, (x, y), dtype=torch.float32)


@pytest.fixture(scope="session")
def ray_session():
    """One local Ray for all tests of the pool; pools join it and leave it running."""
    assert session.connect(4)
    yield
    session.disconnect()
