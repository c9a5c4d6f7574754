"""A migrated MLflow database to copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from distlandscape.record.mlflow_client import connect


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database with MLflow's schema, to be copied: making it takes seconds."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{file}")
    return file


@pytest.fixture
def out(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output folder that has its database, with another working directory."""
    folder = tmp_path / "out put#1"
    folder.mkdir()
    shutil.copy(migrated, folder / "mlflow.db")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return folder
