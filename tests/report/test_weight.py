"""Pages of large runs stay light: what is heavy is thinned without changing the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from distlandscape.report.class_curves import class_heat, overlap_heat
from distlandscape.report.tables import load
from distlandscape.report.thinning import STRETCHES, extremes, groups
from tests.report.reading import figures_of, page_of
from tests.report.test_class_pages import class_run, page_alone
from tests.report.test_train_page import train_run

MB = 1_000_000


def test_extremes_of_every_stretch_are_kept() -> None:
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(0, 5, 30_000)), rng.standard_normal(30_000)
    kept = extremes(x, y)
    assert (np.diff(kept) > 0).all()
    assert len(kept) <= 2 * STRETCHES + 1
    assert {int(y.argmin()), int(y.argmax()), len(x) - 1} <= set(kept.tolist())
    edges = np.linspace(x[0], x[-1], STRETCHES + 1)[1:-1]
    parts, mine_of = np.split(y, np.searchsorted(x, edges)), np.split(y[kept], np.searchsorted(x[kept], edges))
    for part, mine in zip(parts, mine_of, strict=True):
        if len(part):
            assert (mine.min(), mine.max()) == (part.min(), part.max())


def test_few_points_are_all_kept() -> None:
    assert extremes(np.arange(2000.0), np.zeros(2000)).tolist() == list(range(2000))


@pytest.mark.parametrize("count", [1, 200, 201, 1000])
def test_groups_cover_all_once(count: int) -> None:
    found = groups(count)
    assert len(found) <= 200
    assert [i for one in found for i in range(count)[one]] == list(range(count))


def test_a_long_training_makes_a_light_page(tmp_path: Path) -> None:
    run = train_run(tmp_path)
    step = np.arange(1, 200_001)
    loss = np.random.default_rng(0).uniform(1, 2, len(step)) / np.sqrt(step)
    loss[123_456] = 3.0
    run.write_table("training", pa.table({"step": step, "loss": loss, "learning_rate": 0.1 + 0 * step}))
    page = page_of(run)
    assert page.stat().st_size < 3 * MB
    batches = figures_of(page)["training"]["data"][0]
    assert batches["name"] == "mini-batches, extremes of each stretch"
    assert max(batches["y"]) == 3.0


def test_a_thousand_classes_make_a_light_page(tmp_path: Path) -> None:
    run = class_run(tmp_path, "clustering", C=1000, steps=(500,))
    heat = class_heat(load(run))
    assert heat.values.shape == (200, 200)
    assert heat.rows[0] == "0 to 4"
    cosine = np.array(run.table("clustering")["cosine"].to_pylist()).reshape(1000, 1000)
    assert heat.values[3, 7] == pytest.approx(cosine[15:20, 35:40].mean())
    assert page_alone(run).stat().st_size < 4 * MB


def test_many_eigenvectors_are_grouped_too(tmp_path: Path) -> None:
    heat = overlap_heat(load(class_run(tmp_path, "hierarchy", C=205, steps=(500,))))
    assert heat.values.shape == (104, 103)
    assert heat.rows[0].startswith("λ1 = ")
