"""A tracking database whose schema exists already: to make it takes seconds, to copy it none."""

import shutil

import pytest
from mlflow import MlflowClient


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("tracking") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracked(empty_database):
    """Makes an output folder with such a database in it."""

    def prepare(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_database, out / "mlflow.db")
        return out

    return prepare
