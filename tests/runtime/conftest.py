import numpy as np
import pytest

from distlandscape.models import build_model
from distlandscape.objective import Objective
from distlandscape.runtime import LocalRunner, Pool


@pytest.fixture(scope="session")
def objective():
    """P = 243, N = 83 in 4 uneven blocks."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((83, 1, 4, 4)), rng.integers(0, 3, 83)
    model = build_model("mlp", (1, 4, 4), 3, {"hidden": [12]}, seed=0)
    return Objective(model, (x, y))


@pytest.fixture
def local():
    return LocalRunner(threads=1)


@pytest.fixture(scope="session")
def store(ray_session):
    """Three workers for tests that leave them alive."""
    with Pool(3, 0.5, threads=1) as pool:
        yield pool


@pytest.fixture(scope="session")
def group(ray_session):
    """Three workers that share vectors, for tests that leave them alive."""
    with Pool(3, 0.5, threads=1, transport="collective") as pool:
        yield pool


@pytest.fixture
def impatient(monkeypatch):
    """A worker that hangs is found out sooner than a user would want."""
    for module in ("dealing", "collective"):
        monkeypatch.setattr(f"distlandscape.runtime.{module}.QUIET_SECONDS", 1.0)
    monkeypatch.setattr("distlandscape.runtime.crew.PING_SECONDS", 4.0)
