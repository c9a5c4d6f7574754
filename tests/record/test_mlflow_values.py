"""No secret leaves the run directory; keys and values are what MLflow takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.mlflow_values import collect, redact
from tests.record.fabricated import start_run


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:p@ss@host:1/x", "https://host:1/x"),
        ("postgresql://u:p@h/db?password=abc&sslmode=require", "postgresql://h/db?password=***&sslmode=require"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("mail a@b about http://host", "mail a@b about http://host"),
    ],
)
def test_secrets_are_taken_out_of_addresses(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_no_secret_reaches_the_server(out: Path) -> None:
    run = start_run(out, uri="http://user:hunter2@127.0.0.1:9")
    assert MlflowMirror(run, f"sqlite:///{out}/mlflow.db").push()
    assert "hunter2" not in json.dumps(collect(run).params)
    held = [file.read_text() for file in (out / "mlartifacts").rglob("config.yaml")]
    assert len(held) == 1
    assert "hunter2" not in held[0]
