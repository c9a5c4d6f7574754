"""No secret leaves the run directory; keys and values are what MLflow takes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from distlandscape.record.mlflow_mirror import MlflowMirror
from distlandscape.record.mlflow_values import collect
from distlandscape.redaction import redact
from tests.record.fabricated import start_run


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:p@ss@host:1/x", "https://***@host:1/x"),
        ("postgresql://u:p@h/db?password=abc&sslmode=require", "postgresql://***@h/db?password=***&sslmode=require"),
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


def test_the_training_curve_is_two_metrics_of_the_run_at_their_steps(out: Path) -> None:
    run = start_run(out)
    columns = {"step": [1, 2, 40], "loss": [2.5, None, 0.5], "learning_rate": [0.05, 0.1, 0.01]}
    run.write_table("training", pa.table(columns))
    found = [(point.key, point.step, point.value) for point in collect(run).points]
    assert found == [
        ("batch_loss", 1, 2.5),
        ("learning_rate", 1, 0.05),
        ("learning_rate", 2, 0.1),
        ("batch_loss", 40, 0.5),
        ("learning_rate", 40, 0.01),
    ]
