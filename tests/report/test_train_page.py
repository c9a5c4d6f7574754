"""The page of a training: finished, under way, diverged, without classes, with held-out samples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from distlandscape.config import RunConfig
from distlandscape.record.run import Run
from distlandscape.report import make_report
from distlandscape.report.style import LIGHT
from tests.report.reading import figures_of, words_of

KEPT = (0, 1, 10, 100)


def train_run(out: Path, *, result: bool = True, classes: bool = True, held_out: bool = False, rows: int = 100) -> Run:
    """A run directory as the train study leaves it."""
    config = RunConfig.model_validate({"train": {"steps": 100, "optimizer": "adam", "checkpoints": 4}})
    run = Run.create(out, "train", config.model_dump(mode="json"), {})
    run.log.append("started")
    step = np.arange(1, rows + 1)
    run.write_table("training", pa.table({"step": step, "loss": 2.0 / step, "learning_rate": 0.1 + 0 * step}))
    if not result:
        return run
    columns: dict[str, Any] = {
        "checkpoint": range(4),
        "step": KEPT,
        "file": [f"weights/step-{step:06d}.safetensors" for step in KEPT],
        "sha256": ["ab" * 32] * 4,
        "loss": [2.0, 1.5, 0.3, 0.0254],
        "accuracy": [0.1, 0.4, 0.8, 0.975] if classes else [None] * 4,
        "gradient_norm": [1.0, 0.5, 0.2, 0.1],
    }
    if held_out:
        columns |= {"test_loss": [2.1, 1.6, 0.4, 0.35], "test_accuracy": [0.1, 0.3, 0.7, 0.875]}
    table = pa.table(columns)
    run.write_table("checkpoints", table)
    last = {key: value for key, value in table.to_pylist()[-1].items() if key not in ("checkpoint", "step", "file")}
    kept = {"test_loss": None, "test_accuracy": None, **last}
    run.write_result({**kept, "status": "done", "steps": 100, "samples": 300, "parameters": 1210, "passes": 4})
    run.log.append("ended", status="done", detail="done")
    return run


def test_a_finished_training(tmp_path: Path) -> None:
    run = train_run(tmp_path)
    page = make_report(run.path)
    seen = words_of(page)
    assert "After 100 steps of Adam the mean loss is 0.02540 and the accuracy 97.50 %, over the 300 samples" in seen
    assert "held-out loss" not in seen
    assert "weights/step-000100.safetensors" in seen
    assert "Parts are missing" not in seen
    image = matplotlib.image.imread(run.path / "figures" / "training.png")
    assert image[..., :3].std() > 0.05
    (figure,) = figures_of(page).values()
    names = [trace["name"] for trace in figure["data"] if trace["name"]]
    assert names == ["mini-batches", "all samples, at the checkpoints"]
    assert figure["data"][1]["customdata"] == list(KEPT)
    coloured = re.sub(r'"@([\w-]+)"', lambda match: f'"{LIGHT[match[1]]}"', json.dumps(figure))
    go.Figure(json.loads(coloured))


def test_held_out_samples_stand_beside(tmp_path: Path) -> None:
    page = make_report(train_run(tmp_path, held_out=True).path)
    seen = words_of(page)
    assert "it was trained on; on held-out samples they are 0.3500 and 87.50 %." in seen
    assert "held-out loss" in seen
    assert "held-out accuracy" in seen
    (figure,) = figures_of(page).values()
    assert "held-out samples, at the checkpoints" in [trace["name"] for trace in figure["data"]]


def test_targets_without_classes_have_no_accuracy(tmp_path: Path) -> None:
    page = make_report(train_run(tmp_path, classes=False, held_out=False).path)
    assert "After 100 steps of Adam the mean loss is 0.02540, over the 300 samples it was trained on." in words_of(page)
    (figure,) = figures_of(page).values()
    assert "yaxis3" not in figure["layout"]


def test_a_training_under_way_says_how_far_it_is(tmp_path: Path) -> None:
    run = train_run(tmp_path, result=False, rows=40)
    seen = words_of(make_report(run.path))
    assert "After 40 of 100 steps of Adam the loss of a mini-batch was 0.05000." in seen
    assert "This run has not ended." in seen
    assert f"distlandscape resume {run.path}" in seen


def test_a_diverged_training_is_not_offered_for_resume(tmp_path: Path) -> None:
    run = train_run(tmp_path, result=False, rows=3)
    run.log.append("ended", status="failed", detail="training diverged; lower train.learning_rate", final=True)
    seen = words_of(make_report(run.path))
    assert "This run failed. training diverged; lower train.learning_rate. To resume it would end alike." in seen
    assert "distlandscape resume" not in seen
