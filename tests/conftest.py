"""One thread everywhere: small products gain nothing from more, and workers compete for two cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import settings

from distlandscape.runtime import session

settings.register_profile("tests", deadline=None)  # another test may hold the other core
settings.load_profile("tests")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def ray_session():
    """One local Ray for all tests of pools in this process; pools join it and leave it running."""
    assert session.connect(8)
    yield
    session.disconnect()


def pytest_collection_modifyitems(items):
    """Tests that share a Ray run one after another in one process, which begins with them: they mostly wait."""
    shared = [item for item in items if "ray_session" in getattr(item, "fixturenames", ())]
    for item in shared:
        item.add_marker(pytest.mark.ray)
        item.add_marker(pytest.mark.xdist_group("ray"))
    rest = [item for item in items if item not in set(shared)]
    items[:] = shared + rest
