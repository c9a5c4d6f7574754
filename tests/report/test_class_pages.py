"""The pages of class geometry: finished, cut off, unconverged, with many classes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pytest

from distlandscape.config import RunConfig
from distlandscape.record.run import Run
from distlandscape.report import make_report
from distlandscape.report.page import render
from distlandscape.report.style import LIGHT
from distlandscape.report.tables import load
from tests.report.reading import figures_of, words_of

STEP = (0, 22, 500)
COSINES = ("q_slsc", "q_sldc", "q_sl", "q_dl", "q_dl_same_sample")
FIGURES = {
    "clustering": ["cosines", "clustering", "lengths", "freezing", "simplex"],
    "hierarchy": ["levels", "overlaps", "traces", "kernel"],
}


def by_checkpoint(columns: dict[str, object], steps: tuple[int, ...]) -> pa.Table:
    return pa.table({"checkpoint": list(range(len(steps))), "step": list(steps), **columns})


def at_each(rows: list[dict[str, object]], steps: tuple[int, ...]) -> pa.Table:
    return pa.Table.from_pylist([{"checkpoint": i, "step": s, **row} for i, s in enumerate(steps) for row in rows])


def clustering_tables(C: int, steps: tuple[int, ...], rng: np.random.Generator) -> dict[str, pa.Table]:
    names = ("loss", "accuracy", *COSINES, "length_mean", "length_sd", "sigma_z", "sigma_z_over_scale", "sum_p2")
    columns = {name: rng.uniform(0.1, 0.9, len(steps)) for name in (*names, "sum_p2_gaussian", "entropy")}
    columns["entropy_share"] = columns["entropy"] / np.log(C)
    cells = [
        {"logit": k, "class": c, "cosine": float(rng.uniform(-0.2, 0.9)), "count": 9.0, "length": 2.0, "length_sd": 0.2}
        for k, c in np.ndindex(C, C)
    ]
    tables = {"checkpoints": by_checkpoint(columns, steps), "clustering": at_each(cells, steps)}
    if C == 3:
        p = rng.dirichlet([0.3] * 3, 50)
        points = [
            {"sample": i, "label": int(q.argmax()), **{f"p{k}": float(v) for k, v in enumerate(q)}}
            for i, q in enumerate(p)
        ]
        tables["simplex"] = at_each(points, steps)
    return tables


def hierarchy_tables(C: int, steps: tuple[int, ...], rng: np.random.Generator) -> dict[str, pa.Table]:
    K, levels = C + 2, ("G0", "G1", "G2", "G3")
    names = ("loss", "accuracy", "trace_g", "kernel_drift", "kernel_alignment", "linearised_accuracy")
    columns = {name: rng.uniform(0.1, 0.9, len(steps)) for name in names}
    columns |= {f"share_{name.lower()}": np.full(len(steps), 0.25) for name in levels}
    spectra = [
        {"level": name, "rank": i + 1, "eigenvalue": 9.0 / (i + 1), "residual": 1e-4}
        for name in ["H", "G0", "G1", "G2"]
        for i in range(C)
    ]
    overlaps = [
        {"rank": r + 1, "eigenvalue": 9.0 / (r + 1), "class": c, "own": float(q), "across": 0.1, "own_span": 0.9}
        for r in range(K)
        for c, q in enumerate(rng.dirichlet([0.3] * C))
    ]
    traces = [{"level": name, "trace": 1.0, "stderr": 0.1 if name > "G1" else 0.0, "share": 0.25} for name in levels]
    dual = pa.table({"rank": [1, 2, 3], "eigenvalue": [8.0, 4.0, 2.0]})
    made = {"levels": spectra, "overlaps": overlaps, "traces": traces}
    found = {name: at_each(rows, steps) for name, rows in made.items()}
    return {"checkpoints": by_checkpoint(columns, steps), **found, "dual_spectrum": dual}


def result_of(study: str, C: int, status: str) -> dict[str, object]:
    common = {"status": status, "samples": 300, "parameters": 1210, "classes": C, "passes": 9, "model": "mlp"}
    if study == "clustering":
        return {**common, "q_slsc": 0.8, "q_sl": 0.6, "q_dl": -0.04, "ordering": {"holds": [True, True, C == 3]}}
    K = C + 2
    listed = {name: [0.5] * K for name in ("eigenvalues", "residuals", "own_cosine", "own_span", "across_span")}
    traces = {"levels": [1, 2, 3, 4], "stderr": [0, 0, 0.1, 0.1], "total": 10, "total_stderr": 0.1, "probes": 32}
    more = {"belongs_to": [1] * K, "g0": [3.0, 1.0], "g1": [2.0], "g2": [], "outliers": 3, "share_g0": 0.1}
    return {**common, **listed, **more, "lowest": [], "lowest_residuals": [], "traces": traces}


def class_run(out: Path, study: str, *, C: int = 3, steps=STEP, kept=None, status: str | None = "converged") -> Run:
    run = Run.create(out, study, RunConfig().model_dump(mode="json"), {})
    run.log.append("started")
    make = {"clustering": clustering_tables, "hierarchy": hierarchy_tables}[study]
    for name, table in make(C, steps, np.random.default_rng(0)).items():
        if kept is None or name in kept:
            run.write_table(name, table)
    if status is not None:
        run.write_result(result_of(study, C, status))
        run.log.append("ended", status="done" if status == "converged" else "unconverged", detail=status)
    return run


def page_alone(run: Run) -> Path:
    """The page without the time that PNG figures take."""
    page = run.path / "report.html"
    page.write_text(
        render(load(run), dict.fromkeys([name for names in FIGURES.values() for name in names], b"")), encoding="utf-8"
    )
    return page


@pytest.mark.parametrize("study", FIGURES)
@pytest.mark.parametrize(("C", "steps"), [(3, STEP), (40, (500,))])
def test_figures_are_drawn(tmp_path: Path, study: str, C: int, steps: tuple[int, ...]) -> None:
    run = class_run(tmp_path, study, C=C, steps=steps)
    page = make_report(run.path)
    expected = [name for name in FIGURES[study] if name != "simplex" or C == 3]
    found = figures_of(page)
    assert list(found) == expected
    for name in expected:
        assert matplotlib.image.imread(run.path / "figures" / f"{name}.png")[..., :3].std() > 0.02
        coloured = re.sub(r'"@([\w-]+)"', lambda match: f'"{LIGHT[match[1]]}"', json.dumps(found[name]))
        go.Figure(json.loads(coloured))  # plotly's own check of every key
    assert "Parts are missing" not in words_of(page)


def test_what_the_pages_say(tmp_path: Path) -> None:
    seen = words_of(page_alone(class_run(tmp_path / "a", "clustering")))
    assert "agree with a mean cosine of 0.800 (q_SLSC), of any samples with 0.600 (q_SL)" in seen
    assert "so q_SLSC ≥ q_SL ≥ 5 |q_DL| holds." in seen
    seen = words_of(page_alone(class_run(tmp_path / "b", "clustering", C=4)))
    assert "so the order does not hold." in seen
    seen = words_of(page_alone(class_run(tmp_path / "c", "hierarchy")))
    assert "show a gap after 3 eigenvalues with 3 classes; 50 % of these eigenvectors lies in the span" in seen
    assert "10.0 % of Tr G in G0." in seen
    assert "3.00 ± 0.10" in seen


def test_what_has_not_converged_is_said(tmp_path: Path) -> None:
    status = "G2 at step 500: 3 of 5 pairs converged in 9 steps: raise max_steps or loosen tol"
    seen = words_of(page_alone(class_run(tmp_path, "hierarchy", status=status)))
    assert f"Not everything has converged. {status}. In the configuration: hierarchy.max_steps" in seen


@pytest.mark.parametrize(
    ("study", "kept"), [("clustering", {"clustering"}), ("hierarchy", {"levels"}), ("hierarchy", set())]
)
def test_a_run_under_way(tmp_path: Path, study: str, kept: set[str]) -> None:
    page = page_alone(class_run(tmp_path, study, kept=kept, status=None))
    assert set(figures_of(page)) == kept
    assert "This run has not ended." in words_of(page)
