"""A migrated MLflow database to copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def out(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output folder that has its database, with another working directory."""
    folder = tmp_path / "out put#1"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return folder
