"""A tracking database is whole or absent, whenever its making is killed; a half-made one is replaced or named."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from distlandscape.record import mlflow_database
from distlandscape.record.mlflow_client import connect
from distlandscape.record.mlflow_database import HalfMade, whole_database
from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.run import Run
from tests.record.fabricated import start_run


@pytest.fixture
def make(empty_database: Path):
    """Makes a database as MLflow does, without its six seconds."""
    return lambda uri: shutil.copy(empty_database, uri.removeprefix("sqlite:///"))


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mlflow_database, "QUIET_SECONDS", 0.0)
    folder = tmp_path / "out put#1"
    folder.mkdir()
    return folder


def execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def is_whole(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        if "alembic_version" not in tables or any(table.startswith("_alembic_tmp_") for table in tables):
            return False
        versions = database.execute("SELECT version_num FROM alembic_version").fetchall()
    return versions == [(mlflow_database._newest(),)]


CUT_OFF = [
    ("DELETE FROM alembic_version",),
    ("DROP TABLE alembic_version",),
    ("CREATE TABLE _alembic_tmp_metrics (key TEXT)",),
    ("UPDATE alembic_version SET version_num = '451aebb31d03'", "DROP TABLE registered_models"),
]


@pytest.mark.parametrize("statements", CUT_OFF, ids=str)
def test_a_half_made_database_without_runs_is_replaced(out: Path, make, statements: tuple[str, ...]) -> None:
    file = out / "mlflow.db"
    make(f"sqlite:///{file}")
    execute(file, *statements)
    with whole_database(file, make):
        assert is_whole(file)
    (aside,) = out.glob("mlflow.db.half-made-*")
    assert not is_whole(aside)


def test_the_folder_of_a_run_is_usable_again(out: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way of a run: with an extra table of a migration MLflow's own start would fail."""
    file = out / "mlflow.db"
    make(f"sqlite:///{file}")
    execute(file, "CREATE TABLE _alembic_tmp_runs (run_uuid TEXT)", "DELETE FROM alembic_version")
    monkeypatch.setattr(mlflow_database, "_make", lambda path, _make: make(f"sqlite:///{path}"))
    assert MlflowMirror(start_run(out)).push()


def test_a_half_made_database_with_runs_is_kept_and_the_remedy_works(
    out: Path, make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = out / "mlflow.db"
    make(f"sqlite:///{file}")
    run = start_run(out)
    assert MlflowMirror(run).push()
    execute(file, "ALTER TABLE runs RENAME TO _alembic_tmp_runs")
    assert not MlflowMirror(run).push()
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"mv {file} {file}.half-made" in said
    with pytest.raises(HalfMade), whole_database(file, make):
        raise AssertionError("it has to be refused")
    file.rename(f"{file}.half-made")
    elsewhere = out.rename(out.with_name("elsewhere"))  # in this process MLflow keeps its connections to the old file
    monkeypatch.setattr(mlflow_database, "_make", lambda path, _make: make(f"sqlite:///{path}"))
    assert MlflowMirror(Run.open(elsewhere / run.path.name)).push()


def test_a_database_of_an_older_mlflow_is_left_to_mlflow(out: Path, make) -> None:
    file = out / "mlflow.db"
    make(f"sqlite:///{file}")
    assert MlflowMirror(start_run(out)).push()
    execute(file, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    with whole_database(file, make):
        assert not is_whole(file)
    assert not list(out.glob("*half-made*"))


@pytest.mark.parametrize("left", [None, "mlflow.db", ".mlflow.db.making", ".mlflow.db.making-journal"])
def test_it_appears_whole_and_is_its_owners_alone(out: Path, make, left: str | None) -> None:
    file = out / "mlflow.db"
    if left is not None:
        (out / left).touch()

    def watch(uri: str) -> None:
        assert not file.exists() or not file.stat().st_size
        make(uri)

    with whole_database(file, watch):
        assert is_whole(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in out.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_nothing_is_left_where_the_making_fails(out: Path) -> None:
    def fails(uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).touch()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"), whole_database(out / "mlflow.db", fails):
        raise AssertionError("it has to be refused")
    assert [path.name for path in out.iterdir()] == ["mlflow.db.lock"]


OURS = "import sys; from distlandscape.record.mlflow_client import connect; connect(sys.argv[1])"
# As other programs make it, in place.
THEIRS = "import sys; from mlflow import MlflowClient; MlflowClient(tracking_uri=sys.argv[1]).search_experiments()"


@pytest.mark.attack
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("program", "seconds"),
    [*((OURS, s) for s in (0.0, 0.3, 1.0, 1.5, 3.0, 5.0)), *((THEIRS, s) for s in (0.0, 0.7, 1.5, 3.0))],
)
def test_a_kill_at_any_moment_leaves_a_folder_that_works(
    tmp_path: Path, program: str, seconds: float, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mlflow.db"
    process = subprocess.Popen([sys.executable, "-c", program, f"sqlite:///{file}"], cwd=tmp_path)
    began = time.monotonic()
    while not any(path.suffix != ".lock" for path in tmp_path.glob("*mlflow.db*")) and time.monotonic() - began < 120:
        time.sleep(0.01)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if program is OURS:
        assert not file.exists() or is_whole(file)
    run = start_run(tmp_path)
    assert MlflowMirror(run).push(), capfd.readouterr().err
    assert is_whole(file)
    assert connect(f"sqlite:///{file}").get_run(MlflowMirror(run).run_id).info.status == "RUNNING"
    assert not list(tmp_path.glob(".mlflow.db*"))
