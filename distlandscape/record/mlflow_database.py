"""The sqlite file of a tracking database: made aside and moved into place whole, and never used half made."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from distlandscape.files import write_whole

QUIET_SECONDS = 5.0  # without a write, after which nobody is taken to be making the file
LEFTOVER = "_alembic_tmp_"  # how the tables are called that only a migration under way has
COMPANIONS = ("-journal", "-wal", "-shm")  # files beside a database that belong to it


class HalfMade(Exception):
    """A migration of this database was cut off, and it holds something; its message says what to do."""


@contextlib.contextmanager
def whole_database(file: Path, make: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock of a database file that is whole; made by ``make(uri)`` where it is missing.

    A half-made one without any run or experiment is moved aside and replaced. Making takes some 6 seconds.

    Raises:
        HalfMade: it is half made, but holds runs or experiments.
        OSError, Exception: the folder cannot be written, or what ``make`` raises.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # Two runs that start together in one folder must not both make the schema.
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_half_made(file):
            _wait(file)
        if _is_half_made(file):
            _move_aside(file)
        if file.exists() and not file.stat().st_size:
            file.unlink()  # as a program leaves it that is killed before its first write
        if not file.exists():
            _make(file, make)
        yield


def _make(file: Path, make: Callable[[str], object]) -> None:
    """Whoever is killed meanwhile leaves a file of another name, which the next one removes."""
    aside = file.with_name(f".{file.name}.making")
    _remove(aside)
    try:
        make(f"sqlite:///{aside}")
        write_whole(file, lambda part: _copy(aside, part))
    finally:
        _remove(aside)


def _copy(source: Path, target: Path) -> None:
    """The database as it is, whatever connections to the source are open."""
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _remove(file: Path) -> None:
    for name in (file.name, *(file.name + end for end in COMPANIONS)):
        file.with_name(name).unlink(missing_ok=True)


def _is_half_made(file: Path) -> bool:
    """Whether a migration began and did not end; False for what cannot be read, which MLflow is left to judge."""
    if not file.exists() or not file.stat().st_size:
        return False
    try:
        with _opened(file) as database:
            tables = _tables(database)
            if "alembic_version" not in tables:
                return not tables or "experiments" in tables
            versions = [str(row[0]) for row in database.execute("SELECT version_num FROM alembic_version")]
            if not versions or any(table.startswith(LEFTOVER) for table in tables):
                return True
            # An older version with runs in it is the database of an older MLflow.
            return versions != [_newest()] and not _holds_anything(database)
    except sqlite3.Error:
        return False


def _move_aside(file: Path) -> None:
    with _opened(file) as database:
        held = _holds_anything(database)
    if held:
        aside = file.with_name(f"{file.name}.half-made")
        raise HalfMade(
            f"a migration of the tracking database {file} was cut off, and MLflow cannot use it; move it away (mv"
            f" {file} {aside}), then distlandscape mlflow-sync RUN puts each run into a new one"
        )
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for end in ("", *COMPANIONS):
        found = file.with_name(file.name + end)
        if found.exists():
            found.rename(file.with_name(f"{file.name}.half-made-{stamp}{end}"))


def _wait(file: Path) -> None:
    """Let another program finish that may be making the database: ``mlflow ui`` takes no lock of ours."""
    while _is_half_made(file) and time.time() - _touched(file) < QUIET_SECONDS:
        time.sleep(0.5)


def _touched(file: Path) -> float:
    """When the database or a file beside it was written last."""
    times = [0.0]
    for end in ("", *COMPANIONS):
        with contextlib.suppress(FileNotFoundError):
            times.append(file.with_name(file.name + end).stat().st_mtime)
    return max(times)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open for writing, as sqlite then first takes back what a killed program left undone; nothing is made."""
    address = f"file:{quote(str(file))}?mode=rw"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=3.0)) as database:
        yield database


def _tables(database: sqlite3.Connection) -> set[str]:
    return {str(row[0]) for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _holds_anything(database: sqlite3.Connection) -> bool:
    """Whether there are runs, or experiments beside MLflow's own first one, in tables of any migration."""
    tables = _tables(database)
    questions = {"runs": "", "experiments": " WHERE experiment_id != 0", "registered_models": ""}
    return any(
        database.execute(f"SELECT 1 FROM {prefix}{table}{condition} LIMIT 1").fetchone() is not None
        for table, condition in questions.items()
        for prefix in ("", LEFTOVER)
        if prefix + table in tables
    )


def _newest() -> str | None:
    """The version that the schema of this MLflow has."""
    scripts = importlib.import_module("alembic.script").ScriptDirectory
    folder = Path(str(importlib.import_module("mlflow").__file__)).parent / "store" / "db_migrations"
    newest: str | None = scripts(str(folder)).get_current_head()
    return newest
