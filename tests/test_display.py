"""Results in a console and in a notebook: what is shown, what is drawn, and who sees progress."""

from __future__ import annotations

import io
import json
import re
import sys
import types
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

import distlandscape as dl
from distlandscape.cli.summary import summary_lines
from distlandscape.display import SHOWN, shortened
from distlandscape.results import Estimate, Index
from distlandscape.spectral import watch
from tests.helpers import samples


@pytest.fixture(scope="module")
def hessian():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    x, y = samples((6,), 3)
    return dl.Hessian(dl.Objective(model, (x.astype(np.float32), y)))


@pytest.fixture(scope="module")
def pairs(hessian):
    return dl.top_eigenpairs(hessian, k=(14, 3), which="BE")


@pytest.fixture(scope="module")
def density(hessian):
    return dl.spectral_density(hessian, draws=1, steps=20)


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def test_eigenpairs_say_their_numbers_their_status_and_their_trust(pairs):
    text = repr(pairs)
    assert text.startswith("Eigenpairs: 17 of 17 converged, tol 0.001\n")
    rows = dict(re.findall(r"^ +(λ\S+) +(\S+) ", text, flags=re.MULTILINE))
    assert list(rows) == [*(f"λ{i + 1}" for i in range(SHOWN - 2)), "λ14", "λ−3", "λ−2", "λ−1"]
    assert float(rows["λ1"]) == pytest.approx(pairs.eigenvalues[0], rel=1e-5)
    assert float(rows["λ−1"]) == pytest.approx(pairs.eigenvalues[-1], rel=1e-5)
    assert f"{pairs.steps} steps, {pairs.passes} passes" in text
    assert pairs.trust.missed_copies in text


def test_what_did_not_converge_is_marked(pairs):
    good = pairs.converged.copy()
    good[1] = False
    text = repr(replace(pairs, converged=good, status="16 of 17 pairs converged: raise max_steps"))
    assert "16 of 17 converged" in text.splitlines()[0]
    assert re.search(r"λ2 .* no$", text, flags=re.MULTILINE)
    assert "raise max_steps" in text


def test_what_rounding_alone_accepts_is_marked_everywhere(pairs):
    values, residuals = pairs.eigenvalues.copy(), pairs.residuals.copy()
    values[-1], residuals[-1], residuals[-2] = 0.0, 1e-16, 0.03 * abs(values[-2])
    marked = replace(pairs, eigenvalues=values, residuals=residuals, converged=np.ones(len(values), dtype=bool))
    for shown in (repr(marked), marked._repr_html_()):
        assert shown.count("at rounding level, residual/|λ| 0.03") == 1
        assert shown.count("zero to rounding") == 1
    table, marks = marked.to_table().to_pydict(), marked.marks()
    assert table["at_rounding"][-2:] == marks["at_rounding"][-2:] == [True, True]
    assert table["relative"][-2:] == pytest.approx([0.03, np.inf])
    assert marks["relative"][-2:] == [pytest.approx(0.03), None]
    json.dumps(marks, allow_nan=False)
    names = ("operator", "model", "data", "run_id", "run_dir", "report", "status")
    numbers = {"parameters": 53, "samples": 9, "passes": 3, "wall_s": 1.0, "loss": 1.0, "accuracy": None, "workers": 0}
    estimates = {name: {"value": 1.0, "stderr": 0.1} for name in ("trace", "frobenius")}
    shown = [0, *range(8, 17)]  # the summary folds more than twelve
    result = {
        **dict.fromkeys(names, "a"),
        **numbers,
        **estimates,
        "eigenvalues": values[shown].tolist(),
        "residuals": residuals[shown].tolist(),
        **{name: [column[i] for i in shown] for name, column in marks.items()},
    }
    told = "\n".join(summary_lines("spectrum", result | {"lowest": [], "lowest_residuals": []}))
    assert told.count("at rounding level, residual/|λ| 0.03") == 1
    assert told.count("zero to rounding") == 1
    assert "not converged" not in told


def test_html_is_the_same_table_and_escapes(pairs, density):
    for result in (pairs, density, Estimate(1.0, 0.1, 16, 1, 0, 15), Index(3, 1, 5, 9, 1, 1, 0, 0.95, "a < b")):
        page = result._repr_html_()
        assert page.startswith("<table>")
        assert page.endswith("</table>")
        assert page.count("<tr>") == page.count("</tr>") > 0
    assert "a &lt; b" in page
    cells = re.findall(r"<td>(.*?)</td>", pairs._repr_html_())
    assert cells[1] == f"{pairs.eigenvalues[0]:.6g}"


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (Estimate(3.5, 0.5, 16, 1, 0, 15), ["3.5, standard error 0.5", "95 %", "2.43", "16 probes, 1 pass"]),
        (Estimate(3.5, 0.0, 16, 2, 0), ["3.5 (exact)", "2 passes"]),
        (Estimate(3.5, float("nan"), 1, 1, 0, 0), ["standard error unknown"]),
        (
            Index(1200, 900, 1500, 5000, 100, 1, 0.0, 0.95, "raise steps"),
            ["1,200 of 5,000", "900 to 1,500", "raise steps"],
        ),
    ],
)
def test_estimates_show_their_error(result, told):
    text = repr(result)
    assert all(words in text for words in told), text


def test_density_shows_range_and_share(density):
    text = repr(density)
    assert f"of {density.dim:,} eigenvalues" in text
    assert f"{100 * density.cumulative([0.0])[0]:.1f} % of the weight" in text


def test_objects_say_what_they_are(hessian):
    assert repr(hessian) == (
        "Hessian(Objective(Sequential, 53 parameters, 37 samples, loss cross_entropy, float32), in this process,"
        f" {torch.get_num_threads()} thread{'' if torch.get_num_threads() == 1 else 's'})"
    )
    assert repr(dl.Pool(workers=3)) == "Pool(3 workers, 1 thread each, transport 'store')"
    assert repr(dl.Pool(workers=1, threads=2)) == "Pool(1 worker, 2 threads each, transport 'store')"


def test_plot_of_eigenpairs_shows_every_value(pairs):
    axes = pairs.plot()
    shown = np.concatenate([c.lines[0].get_ydata() for c in axes.containers])
    assert np.allclose(np.sort(shown), np.sort(pairs.eigenvalues))
    assert axes.figure.number in plt.get_fignums()


def test_plot_of_eigenpairs_tells_converged_from_not(pairs):
    labels = replace(pairs, converged=np.arange(17) > 2).plot().get_legend_handles_labels()[1]
    assert labels == ["largest, converged", "largest, not converged", "lowest, converged"]


def test_plot_of_a_density_integrates_to_one(density):
    axes = density.plot(bandwidth=0.05)
    grid, curve = axes.lines[0].get_data()
    assert np.trapezoid(curve, grid) == pytest.approx(1.0, abs=0.01)
    assert "bandwidth 0.05" in axes.get_legend_handles_labels()[1]
    mine = plt.figure().add_subplot()
    assert density.plot(mine) is mine


@pytest.mark.parametrize("bandwidth", [0.0, -1.0])
def test_plot_refuses_a_bandwidth_that_is_none(density, bandwidth):
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        density.plot(bandwidth=bandwidth)


def test_plot_without_matplotlib_says_what_to_install(pairs, monkeypatch):
    import distlandscape.report

    monkeypatch.setattr(distlandscape, "report", distlandscape.report)  # the attribute comes back, as the modules do
    for name in [n for n in sys.modules if n.startswith(("matplotlib", "distlandscape.report"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        pairs.plot()


def test_long_tables_keep_first_and_last():
    rows = [(str(i), "x") for i in range(40)]
    short = shortened(rows)
    assert (len(short), short[0], short[-2], short[-1]) == (SHOWN, rows[0], ("…", ""), rows[-1])
    assert shortened(rows[:SHOWN]) == rows[:SHOWN]


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_one_line_for_who_watches(hessian, monkeypatch):
    monkeypatch.setattr(watch, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    found = dl.top_eigenpairs(hessian, k=3)
    lines = screen.getvalue()
    assert lines.count("\n") == 1
    assert lines.count("\r") == found.passes - 1  # the certificate is no step
    assert "top_eigenpairs: step 3, " in lines
    dl.spectral_density(hessian, steps=7)
    assert "spectral_density: draw 1, step 7 of 7 · 0 s" in screen.getvalue()


def test_progress_shows_in_a_notebook_and_nowhere_else(hessian, monkeypatch):
    monkeypatch.setattr(watch, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", elsewhere := io.StringIO())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    dl.top_eigenpairs(hessian, k=3)
    assert elsewhere.getvalue() == ""
    cell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: cell))
    dl.top_eigenpairs(hessian, k=3)
    assert "top_eigenpairs: step" in elsewhere.getvalue()


def test_a_short_call_shows_nothing(hessian, monkeypatch):
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    dl.top_eigenpairs(hessian, k=3)
    assert screen.getvalue() == ""
