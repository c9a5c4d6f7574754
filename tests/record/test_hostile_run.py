"""A run directory of a stranger executes nothing, even where its log vouches for its files."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from distlandscape.errors import InputError
from distlandscape.record import open_run
from distlandscape.record.run import Run, Stage


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o700)


@pytest.fixture
def run(out: Path) -> Run:
    run = Run.create(out, "spectrum", {}, {})
    run.commit_stage("eigenpairs-000", Stage({"eigenvalues": np.ones(2)}, {}))
    run.write_table("spectrum", pa.table({"eigenvalue": [1.0]}))
    return run


def content(out: Path) -> bytes:
    hostile = pickle.dumps({"eigenvalues": Touch(out / "executed")})
    pickle.loads(hostile)  # noqa: S301 – it does what it says
    (out / "executed").rmdir()
    return hostile


def test_stages_are_not_unpickled(out: Path, run: Run) -> None:
    hostile = content(out)
    run.path.joinpath("stages", "eigenpairs-000.safetensors").write_bytes(hostile)
    run.log.append("stage", name="eigenpairs-000", sha256=hashlib.sha256(hostile).hexdigest(), values={})
    with pytest.raises(Exception, match=r"[Hh]eader"):
        open_run(run.path).stage("eigenpairs-000")
    assert not (out / "executed").exists()


def test_tables_are_not_unpickled(out: Path, run: Run) -> None:
    run.path.joinpath("tables", "spectrum.parquet").write_bytes(content(out))
    with pytest.raises(InputError, match="no table that can be read"):
        open_run(run.path).table("spectrum")
    assert not (out / "executed").exists()


def test_a_configuration_constructs_no_objects(out: Path, run: Run) -> None:
    (run.path / "config.yaml").write_text(f"data: !!python/object/apply:os.mkdir [{json.dumps(str(out / 'executed'))}]")
    with pytest.raises(Exception, match="could not determine a constructor"):
        _ = open_run(run.path).config
    assert not (out / "executed").exists()
