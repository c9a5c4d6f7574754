"""One thread everywhere: small products gain nothing from more, and workers compete for two cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import settings

settings.register_profile("tests", deadline=None)  # another test may hold the other core
settings.load_profile("tests")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
