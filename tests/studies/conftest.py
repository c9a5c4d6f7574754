"""Output folders with a tracking database in them."""

import shutil

import pytest


@pytest.fixture
def tracked(empty_database):
    """Makes an output folder with such a database in it."""

    def prepare(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_database, out / "mlflow.db")
        return out

    return prepare
