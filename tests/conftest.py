"""One thread everywhere: small products gain nothing from more, and workers compete for two cores."""

import os
import shutil

os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from mlflow import MlflowClient

from distlandscape.runtime import session

# Another test may hold the other core; the same examples every time, so that a red run can be run again.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory):
    """The key that marks runs lies in a folder of the tests, not in the home."""
    os.environ["DISTLANDSCAPE_STATE"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def ray_session():
    """One local Ray for all tests of pools in this process; pools join it and leave it running."""
    assert session.connect(8)
    yield
    session.disconnect()


# What these modules prepare is dear, and each process would prepare it again.
TOGETHER = ("studies", "record", "report")


@pytest.hookimpl(wrapper=True)  # before markers choose, and before groups are read
def pytest_collection_modifyitems(items):
    """Marks tests that share a Ray, and keeps those together whose preparation is dear."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "ray_session" in names:
            item.add_marker(pytest.mark.ray)
        room = item.path.parent.name
        if room == "spectral" and "net" in names:  # the trained one; elsewhere it is the name of a parameter
            item.add_marker(pytest.mark.xdist_group("net"))
        elif room in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    return (yield)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory, worker_id):
    """A tracking database whose schema exists already: to make it takes seconds, to copy it none."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent  # shared by the processes of one test run
    path = root / "mlflow.db"
    with FileLock(root / "mlflow.lock"):
        if not path.exists():
            making = root / "making.db"
            MlflowClient(f"sqlite:///{making}").search_experiments()
            shutil.copy(making, path)
    return path
