"""A quiet MLflow client that fails fast: all that touches MLflow's settings is here."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distlandscape.record.mlflow_database import whole_database
from distlandscape.redaction import HIDDEN, redact_address, remember

# Set only where the user has not set them. MLflow's own are 7 retries of 120 s, minutes for a server that is away.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
PROBE_SECONDS = 3
LOGGERS = ("mlflow", "alembic", "sqlalchemy", "urllib3")
# What each database driver calls its time-out.
CONNECT_TIMEOUT = {"sqlite": "timeout", "postgresql": "connect_timeout", "mysql": "connect_timeout", "mssql": "timeout"}


def import_mlflow() -> Any:
    """MLflow, imported late (it takes over a second), without telemetry and with short time-outs."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("mlflow")


class PasswordMissing(ValueError):
    """Nobody has said the password that this address needs."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the log lines and warnings of MLflow and what it stands on away from the user's terminal."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@quiet()
def connect(uri: str) -> Any:
    """An ``MlflowClient`` of a tracking server that answers; makes a missing sqlite database.

    Raises:
        PasswordMissing: the address is one whose password was taken out before it was written down.
        Exception: whatever MLflow, the network or the database says when it does not answer.
    """
    if HIDDEN in uri:
        raise PasswordMissing("the run does not keep its password: set MLFLOW_TRACKING_URI to the whole address")
    remember(uri)
    mlflow = import_mlflow()
    file = sqlite_file(uri)
    if file is None:
        _probe(uri)
        return mlflow.MlflowClient(tracking_uri=uri)
    with whole_database(file, lambda new: mlflow.MlflowClient(tracking_uri=new).search_experiments(max_results=1)):
        _probe(uri)
        return mlflow.MlflowClient(tracking_uri=uri)


def tracking_uri(named: str | None, folder: Path) -> str:
    """The server that is named, else the one MLflow's own variable names, else a sqlite file in ``folder``.

    Where a run's own record names it, without its password, the whole address is taken from that variable.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if named and given and HIDDEN in named and redact_address(given) == named:
        return given
    return named or given or f"sqlite:///{folder.absolute() / 'mlflow.db'}"


def sqlite_file(uri: str) -> Path | None:
    """The database file of a sqlite address, None for any other address."""
    scheme, _, rest = uri.partition(":///")
    path = rest.partition("?")[0]
    return Path(path).absolute() if scheme.startswith("sqlite") and path else None


def resolve(uri: str) -> str:
    """A sqlite address with an absolute path, so that it means the same file from everywhere."""
    file = sqlite_file(uri)
    if file is None:
        return uri
    scheme, _, rest = uri.partition(":///")
    _, mark, query = rest.partition("?")
    return f"{scheme}:///{file}{mark}{query}"


def is_database(uri: str) -> bool:
    """Whether the address is one of a database and not of a server."""
    return uri.partition(":")[0].partition("+")[0] in CONNECT_TIMEOUT


def _probe(uri: str) -> None:
    """One short attempt: MLflow itself would retry a broken database for 100 s."""
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in CONNECT_TIMEOUT:
        sqlalchemy = importlib.import_module("sqlalchemy")
        engine = sqlalchemy.create_engine(uri, connect_args={CONNECT_TIMEOUT[scheme]: PROBE_SECONDS})
        try:
            sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()
    elif scheme in ("http", "https"):
        rest = importlib.import_module("mlflow.utils.rest_utils")
        credentials = importlib.import_module("mlflow.utils.credentials")
        server = credentials.get_default_host_creds(uri)
        rest.http_request(server, "/health", "GET", max_retries=0, timeout=PROBE_SECONDS, raise_on_status=False)
