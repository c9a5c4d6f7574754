"""The report of a run: whole, in parts, and with hostile text in it."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from distlandscape.cli import report as command
from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.report import make_report
from distlandscape.report.figure import Rows
from distlandscape.report.numbers import with_error
from distlandscape.report.page import render
from distlandscape.report.style import DARK, LIGHT
from distlandscape.report.tables import load
from tests.report.fabricate import TABLES, TOP, make_run
from tests.report.reading import FIGURES, figures_of, page_of, source_of, words_of

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> $\\frac{ & 'quoted' \"text\""


def test_the_report_of_a_finished_run_is_complete(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    page = make_report(run.path)

    assert page == run.path / "report.html"
    assert sorted(path.name for path in run.path.glob("figures/*")) == sorted(f"{name}.png" for name in FIGURES)
    for name in FIGURES:
        image = matplotlib.image.imread(run.path / "figures" / f"{name}.png")
        assert image.shape[1] > 1000
        assert image[..., :3].std() > 0.05, f"{name} is blank"

    seen = words_of(page)
    largest = with_error(12.0, run.result["residuals"][0])
    assert f"The certified largest eigenvalue of the Hessian is {largest}, its trace is " in seen
    assert "all 25 eigenpairs converged." in seen
    trace = run.result["trace"]
    assert f"its trace is {trace['value']:.2f} ± {trace['stderr']:.2f}" in seen
    assert "5,000 parameters · 1,797 samples · 10 classes · 312 passes over the data · 2 workers · 41.7 s" in seen
    assert "1.30×10⁻⁷" in seen
    assert "not converged" not in seen.partition("Eigenvalue density")[0]
    assert f"<title>{run.path.name}</title>" in source_of(page)
    assert set(figures_of(page)) == set(FIGURES)


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    source = source_of(page_of(make_run(tmp_path)))
    loads = re.findall(r"""(?:src|href|srcset|action|data)\s*=\s*["']([^"']*)""", source)
    assert loads
    assert all(load.startswith("data:") for load in loads)
    assert not re.search(r"url\(|@import|<link|<iframe", source)
    assert "default-src 'none'" in source


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_plotly_accepts_the_figures(tmp_path: Path, colours: dict[str, str]) -> None:
    text = json.dumps(figures_of(page_of(make_run(tmp_path, unconverged=3))))
    coloured = re.sub(r'"@([\w-]+)"', lambda match: f'"{colours[match[1]]}"', text)
    for figure in json.loads(coloured).values():
        go.Figure(figure)


def test_what_has_not_converged_is_never_shown_as_if_it_had(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, unconverged=4, status="unconverged"))
    seen = words_of(page)
    assert seen.index("4 of 25 eigenpairs have not converged.") < seen.index("largest eigenvalue of the Hessian")
    assert "21 of 25 pairs converged: raise spectrum.max_steps." in seen
    assert source_of(page).count('<span class="no">no</span>') == 4
    hollow = [t for t in figures_of(page)["eigenvalues"]["data"] if t.get("marker", {}).get("symbol") == "circle-open"]
    assert [len(trace["x"]) for trace in hollow] == [4, 4]


def test_an_unconverged_largest_eigenvalue_is_no_answer(tmp_path: Path) -> None:
    seen = words_of(page_of(make_run(tmp_path, unconverged=TOP, status="unconverged")))
    assert "The largest eigenvalue of the Hessian has not converged (so far at least 12.00, residual " in seen
    assert "certified largest" not in seen


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("absent", TABLES)
def test_a_missing_table_costs_its_figure_only(tmp_path: Path, absent: str) -> None:
    tables = tuple(name for name in TABLES if name != absent)
    run = make_run(tmp_path, tables=tables, finished=False, status="interrupted")
    page = make_report(run.path)
    lost = {"checkpoints": "training"}.get(absent, absent)
    assert set(figures_of(page)) == set(FIGURES) - {lost}
    assert {path.stem for path in run.path.glob("figures/*.png")} == set(FIGURES) - {lost}
    seen = words_of(page)
    assert f"This run was interrupted. Continue it where it stopped with: distlandscape resume {run.path}." in seen
    names = {"estimates": "trace and Frobenius norm", "confinement": "gradient confinement"}
    names |= {"eigenvalues": "eigenvalues", "density": "eigenvalue density", "checkpoints": "the course of training"}
    assert f"Not here yet: {names[absent]}" in seen


@pytest.mark.parametrize(
    ("status", "words"),
    [(None, "This run has not ended."), ("failed", "This run failed. the machine went away. Remove the cause")],
)
def test_an_empty_run_says_so(tmp_path: Path, status: str | None, words: str) -> None:
    page = make_report(make_run(tmp_path, tables=(), finished=False, status=status).path)
    assert words in words_of(page)
    assert "distlandscape resume" in words_of(page)
    assert figures_of(page) == {}


def test_a_finished_run_without_its_tables_is_called_incomplete(tmp_path: Path) -> None:
    seen = words_of(page_of(make_run(tmp_path, tables=("eigenvalues",))))
    assert (
        "Parts are missing. The run directory has no table for: eigenvalue density, trace and Frobenius norm." in seen
    )
    assert "Not part of this run: gradient confinement, the course of training" in seen


def test_a_run_that_is_about_to_end_reads_as_finished(tmp_path: Path) -> None:
    seen = words_of(page_of(make_run(tmp_path, status=None)))
    assert "has not ended" not in seen


def test_layers_have_a_figure_where_they_were_measured(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    names = ["stem", "a" * 50 + ".conv", "$\\frac{$ & <b>", "head"]
    run.write_table(
        "layers",
        pa.table(
            {
                "layer": names,
                "eigenvalue": [1.0, 2.5, 0.4, 9.0],
                "residual": [1e-3] * 4,
                "converged": [True, False, True, True],
                "share": [0.1, -0.02, 0.3, 0.62],
                "share_stderr": [0.01] * 4,
            }
        ),
    )
    page = make_report(run.path)
    figure = figures_of(page)["layers"]
    go.Figure(json.loads(re.sub(r'"@([\w-]+)"', lambda match: f'"{LIGHT[match[1]]}"', json.dumps(figure))))
    assert figure["layout"]["yaxis"]["ticktext"] == ["stem", f"…{'a' * 22}.conv", "$\\frac{$ & <b>", "head"]
    marks, hollow, bars = figure["data"]
    assert (marks["x"], hollow["x"], hollow["y"]) == ([1.0, 0.4, 9.0], [2.5], [1])
    assert bars["x"] == [10.0, -2.0, 30.0, 62.0]
    seen = words_of(page)
    assert "The largest eigenvalue of 1 of 4 layers has not converged." in seen
    assert matplotlib.image.imread(run.path / "figures" / "layers.png")[..., :3].std() > 0.05


def test_pairs_at_rounding_level_are_marked(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    table = run.table("eigenvalues")
    rows = {name: column.to_pylist() for name, column in zip(table.column_names, table.columns, strict=True)}
    rows["eigenvalue"][-1], rows["residual"][-1] = 1e-17, 2e-16
    rows["residual"][-2] = 0.02 * abs(rows["eigenvalue"][-2])
    rows["at_rounding"] = [False] * (len(rows["end"]) - 2) + [True, True]
    assert "at rounding level" not in words_of(page_of(run))
    run.write_table("eigenvalues", pa.table(rows))
    seen = words_of(page_of(run))
    assert seen.count("at rounding level, residual/|λ| 0.02") == 1
    assert seen.count("zero to rounding") == 1


def test_a_density_short_of_its_target_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, density={"draws": 32, "error": 0.02})
    assert "less exact" not in words_of(page_of(run))
    config = run.config
    config["spectrum"]["density_target"] = 0.01
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    seen = words_of(page_of(Run.open(run.path)))
    assert "The density is less exact than was asked for. Its error after 32 draws is 0.020 of the range" in seen


@pytest.mark.usefixtures("undrawn")
def test_one_checkpoint_is_no_curve(tmp_path: Path) -> None:
    page = make_report(make_run(tmp_path, checkpoints=1).path)
    assert set(figures_of(page)) == {"density", "eigenvalues", "confinement"}
    assert "Not part of this run: the course of training (two checkpoints or more)." in words_of(page)


def test_an_unrepeatable_product_is_said(tmp_path: Path) -> None:
    trust = {"relation": 3.2e-3, "orthogonality": 1e-7, "symmetry": 1e-2, "norm": 12.0}
    seen = words_of(page_of(make_run(tmp_path, trust=trust)))
    assert "The residuals are not certified. The Lanczos relation holds only to 0.0032 of ‖H‖" in seen
    assert "certified largest" not in seen


def test_hostile_text_is_text(tmp_path: Path) -> None:
    texts = {"model": HOSTILE, "data": HOSTILE, "provenance": {HOSTILE: HOSTILE}}
    page = page_of(make_run(tmp_path, unconverged=1, **texts))
    source = source_of(page)
    assert "<script>alert" not in source
    assert "<img src=x" not in source
    assert words_of(page).count("<script>alert(1)</script>") >= 4


def test_passwords_stay_out(tmp_path: Path) -> None:
    run = make_run(tmp_path, provenance={"remote": "https://me:secret-word@git.example/x"})
    config = run.path / "config.yaml"  # as an edition before this one wrote it
    config.write_text(config.read_text().replace("https://***@", "https://me:secret-word@"))
    assert "secret-word" in config.read_text()
    assert "secret-word" not in page_of(run).read_text(encoding="utf-8")


def spectrum_run(out: Path, top: list[float], nodes: list[float], classes: int | None = None) -> Run:
    """A finished run with these eigenvalues and these nodes besides."""
    run = make_run(out, tables=(), classes=classes, parameters=None, trust={"norm": None, "relation": None})
    count = len(top)
    columns = {"index": range(count), "eigenvalue": top, "residual": [0.0] * count, "converged": [True] * count}
    run.write_table("eigenvalues", pa.table({"end": ["top"] * count, **columns}))
    weights = np.full(len(nodes), 1 / max(len(nodes), 1))
    draw = np.zeros(len(nodes), dtype=int)
    run.write_table("density", pa.table({"draw": draw, "node": np.array(nodes, dtype=float), "weight": weights}))
    return run


@pytest.mark.parametrize(
    ("top", "nodes", "classes"),
    [
        ([1.0, 1.0, 1.0], [1.0], 3),  # the identity
        ([0.0, 0.0], [0.0], 2),  # the zero matrix
        ([-1.0, -2.0], [-2.0, -4.0, -8.0], 10),  # all negative, fewer pairs than classes
        ([3.0, 2.0, -0.1], list(np.linspace(-3, 3, 40)), 2),  # a wide bulk
        ([3e-9, 2e-9], [1e-12, 1e-10], None),  # no classes
        ([5.0], [], 2),  # no draws
    ],
)
def test_odd_spectra_are_drawn(tmp_path: Path, top: list[float], nodes: list[float], classes: int | None) -> None:
    run = spectrum_run(tmp_path, top, nodes, classes)
    page = make_report(run.path)
    assert set(figures_of(page)) == ({"density", "eigenvalues"} if nodes else {"eigenvalues"})


def test_gaps_in_the_tables_are_gaps(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    table = run.table("confinement")
    assert table is not None
    empty = pa.array([None] * table.num_rows, pa.float64())
    for name in ("null_share", "null_share_stderr"):
        table = table.set_column(table.column_names.index(name), name, empty)
    run.write_table("confinement", table)
    checkpoints = run.table("checkpoints")
    assert checkpoints is not None
    late = pa.array([None] * 7 + [3.0])
    run.write_table(
        "checkpoints", checkpoints.set_column(checkpoints.column_names.index("lambda_max"), "lambda_max", late)
    )
    figures = figures_of(make_report(run.path))
    assert not any("share" in trace["name"] for trace in figures["confinement"]["data"])
    assert figures["training"]["data"][2]["y"] == [None] * 7 + [3.0]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory"):
        make_report(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_the_command_says_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    run = make_run(tmp_path)
    args = parser.parse_args(["report", str(run.path)])
    assert args.run(args) == 0
    assert str(run.path / "report.html") in capsys.readouterr().out
    args = parser.parse_args(["report", str(run.path), "--json"])
    assert args.run(args) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["report"] == str(run.path / "report.html")
    assert [Path(path).stem for path in answer["figures"]] == sorted(FIGURES)
    with pytest.raises(InputError):
        command.run(parser.parse_args(["report", str(tmp_path)]))


def test_naming_the_report_imports_nothing_slow() -> None:
    slow = {"matplotlib", "plotly", "jinja2", "torch"}
    code = f"import sys, distlandscape.report; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_single_checkpoint_shows_its_nulls_as_marks(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    table = run.table("confinement")
    assert table is not None
    run.write_table("confinement", table.filter(pc.equal(table["step"], pc.max(table["step"]))))
    drawn = [trace for trace in figures_of(page_of(run))["confinement"]["data"] if trace["name"]]
    assert {trace["name"] for trace in drawn} > {"share null ± 1 se"}
    assert all("markers" in trace["mode"] for trace in drawn)
    assert all(trace["error_y"]["array"][0] > 0 for trace in drawn if trace["name"] == "share null ± 1 se")


@pytest.mark.parametrize(("workers", "words"), [(0, "in one process"), (1, "1 worker"), (3, "3 workers")])
def test_the_page_says_who_computed(tmp_path: Path, workers: int, words: str) -> None:
    view = load(make_run(tmp_path))
    text = render(replace(view, result={**view.result, "workers": workers}), dict.fromkeys(FIGURES, b""))
    assert f" · {words}" in text
    assert "0 workers" not in text


def test_a_table_of_signs_is_laid_out_as_one() -> None:
    assert Rows("", ("claim", "0", "10"), [("softmax freezes", "✓", "✗"), ("gap", "?", "○")]).marks
    assert not Rows("", ("claim", "0", "10"), [("softmax freezes", "✓", "0.3")]).marks
