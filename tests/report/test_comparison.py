"""Several runs on one page: what differs, their names, and what is laid over each other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import plotly.graph_objects as go
import pytest
import yaml

from distlandscape.cli.main import main
from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.report import make_comparison
from distlandscape.report.comparison.differences import configuration, labels, made_with, same_data
from distlandscape.report.comparison.page import compare, render
from distlandscape.report.numbers import with_error
from distlandscape.report.style import DARK, LIGHT
from distlandscape.report.tables import load
from tests.report.conftest import twin
from tests.report.fabricate import STEP, TOP, make_run, spectrum
from tests.report.reading import figures_of, words_of
from tests.report.test_class_pages import class_run
from tests.report.test_train_page import train_run


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """Two runs of the spectrum study with different seeds, the second not wholly converged."""
    first = make_run(tmp_path / "a", digests={"data": "ab" * 32}).path
    second = make_run(tmp_path / "b", unconverged=3, digests={"data": "ab" * 32}).path
    return [twin(first, tmp_path, train__seed=1), twin(second, tmp_path, train__seed=2)]


def views(paths: list[Path]):
    return [load(Run.open(path)) for path in paths]


def page_of(paths: list[Path], out: Path) -> Path:
    """The page alone, without the time that PNG figures take."""
    comparison = compare(views(paths))
    out.write_text(render(comparison, {one.name: b"" for one in comparison.overlays}), encoding="utf-8")
    return out


def edit(path: Path, change) -> Path:
    """Change a run's identity."""
    identity = json.loads((path / "run.json").read_text())
    change(identity)
    (path / "run.json").write_text(json.dumps(identity))
    return path


def test_spectra_are_laid_over_each_other(pair: list[Path], tmp_path: Path) -> None:
    page = make_comparison(pair, tmp_path / "out")
    assert page == tmp_path / "out" / "comparison.html"
    found = figures_of(page)
    assert list(found) == ["eigenvalues", "density", "confinement", "training"]
    for name, figure in found.items():
        assert matplotlib.image.imread(tmp_path / "out" / "figures" / f"{name}.png")[..., :3].std() > 0.02
        for colours in (LIGHT, DARK):
            text = re.sub(r'"@([\w-]+)"', lambda match, c=colours: f'"{c[match[1]]}"', json.dumps(figure))
            go.Figure(json.loads(text))  # plotly's own check of every key
    top = [t for t in found["eigenvalues"]["data"] if t["yaxis"] == "y"]
    assert [(t["meta"], len(t["x"])) for t in top] == [("seed 1", 20), ("seed 2", 17), ("seed 2, not converged", 3)]
    assert top[2]["marker"]["symbol"] == "square-open"
    table = Run.open(pair[1]).table("eigenvalues").slice(TOP - 3, 3)
    assert top[2]["y"] == pytest.approx(table["eigenvalue"].to_pylist())
    assert top[2]["error_y"]["array"] == pytest.approx(table["residual"].to_pylist(), rel=1e-6)
    gradient = [t for t in found["confinement"]["data"] if t["meta"] == "seed 1"]
    assert gradient[0]["customdata"] == list(STEP)


def test_what_differs_comes_first(pair: list[Path], tmp_path: Path) -> None:
    seen = words_of(page_of(pair, tmp_path / "page.html"))
    order = [
        "2 runs that differ in train.seed; largest eigenvalue: ",
        "What differs in the configuration",
        "All measured the same data.",
        "Numbers side by side",
        "Configuration: seed 1",
    ]
    places = [seen.index(text) for text in order]
    assert places == sorted(places)
    assert seen.index("seed 2: 3 of 25 eigenpairs have not converged.") < places[0]
    assert "22 of 25" in seen
    assert "train.seed12" in seen.replace(" ", "")


def test_what_all_runs_found_alike_is_said_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a").path
    seen = words_of(page_of([run, twin(run, tmp_path, train__seed=9)], tmp_path / "page.html"))
    told = with_error(12.0, Run.open(run).result["residuals"][0])
    assert f"; largest eigenvalue: {told} in all, so that curves may hide each other" in seen


def test_densities_share_grid_and_bandwidth(pair: list[Path]) -> None:
    (density,) = (one for one in compare(views(pair)).overlays if one.name == "density")
    whole = density.panels[0]
    (first,), (second,) = whole.curves[0], whole.curves[1]
    np.testing.assert_array_equal(first.x, second.x)
    assert np.trapezoid(first.y, first.x) == pytest.approx(1, abs=2e-3)
    assert first.x[0] < spectrum()[-1] < spectrum()[0] < first.x[-1]


def test_a_figure_needs_two_runs_and_says_who_lacks_it(tmp_path: Path) -> None:
    paths = [
        make_run(tmp_path).path,
        train_run(tmp_path).path,
        class_run(tmp_path, "clustering").path,
        class_run(tmp_path, "hierarchy").path,
    ]
    page = page_of(paths, tmp_path / "page.html")
    found = figures_of(page)
    assert list(found) == ["training"]
    loss = [t["meta"] for t in found["training"]["data"] if t["yaxis"] == "y"]
    assert [name.split(",")[0] for name in loss] == ["spectrum", "train", "clustering", "hierarchy"]
    assert "Clustering of logit gradients" not in words_of(page)
    two = page_of(
        [*paths, class_run(tmp_path, "clustering", C=4).path],
        tmp_path / "two.html",
    )
    assert "clustering" in figures_of(two)
    assert "Without this: spectrum" in words_of(two)


def test_nothing_in_common_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(make_run(tmp_path, tables=("eigenvalues",)).path), str(train_run(tmp_path, result=False).path)]
    assert main(["report", *paths, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "(spectrum, train) have no figure and no verdict in common; name runs that measured the same" in told
    assert not (tmp_path / "out").exists()


def test_a_run_named_twice_is_refused(pair: list[Path]) -> None:
    with pytest.raises(InputError, match="is named twice"):
        compare(views([*pair, pair[0]]))


def test_the_command(pair: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    (out / "figures").mkdir(parents=True)
    (out / "comparison.html").write_text("of other runs")
    (out / "figures" / "radii.png").write_bytes(b"of other runs")
    assert main(["report", *map(str, pair), "--out", str(out), "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["report"] == str(out / "comparison.html")
    assert answer["run_ids"] == [Run.open(path).run_id for path in pair]
    assert [Path(path).stem for path in answer["figures"]] == ["confinement", "density", "eigenvalues", "training"]
    assert main(["report", str(pair[0]), "--out", str(tmp_path / "one"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["report"] == str(tmp_path / "one" / "report.html")
    assert not (pair[0] / "report.html").exists()


def test_a_name_takes_as_few_keys_as_needed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run").path
    one = [twin(run, tmp_path, train__seed=s, train__steps=500) for s in (0, 1, 2)]
    assert labels(views(one)) == ["seed 0", "seed 1", "seed 2"]
    two = [
        twin(run, tmp_path, train__seed=s, model__name=m, train__learning_rate=0.1)
        for s in (0, 1)
        for m in ("mlp", "cnn")
    ]
    assert labels(views(two)) == ["name mlp, seed 0", "name cnn, seed 0", "name mlp, seed 1", "name cnn, seed 1"]
    same_word = [twin(run, tmp_path, train__seed=a, spectrum__seed=b) for a in (0, 1) for b in (0, 1)]
    assert labels(views(same_word))[3] == "train.seed 1, spectrum.seed 1"
    assert labels(views([run, twin(run, tmp_path)])) == ["run 1", "run 2"]
    mixed = [run, twin(run, tmp_path), train_run(tmp_path / "t").path]
    names = labels(views(mixed))
    assert len(set(names)) == 3


def test_values_that_agree_where_they_are_cut_do_not_name_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run").path
    long = [twin(run, tmp_path, model__weights=f"{word}-{'x' * 60}") for word in ("one", "two")]
    assert labels(views(long)) == ["run 1", "run 2"]
    paths = [twin(run, tmp_path, model__weights=f"/data/{word}/step-1.safetensors") for word in ("one", "two")]
    assert labels(views(paths)) == ["weights one/step-1.safetensors", "weights two/step-1.safetensors"]


def test_passwords_and_followers_tell_nothing_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run").path
    other = twin(run, tmp_path, tracking__uri="https://you:other-word@tracking.example/x")
    assert configuration(views([run, other])) == []
    data = [twin(run, tmp_path, data__path=f"https://me:secret-{n}@data.example/{n}.npz") for n in (1, 2)]
    page = page_of(data, tmp_path / "page.html")
    assert "secret-" not in page.read_text(encoding="utf-8")
    assert "data.example/2.npz" in words_of(page)


def test_data_and_versions_are_told_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run").path
    first = edit(twin(run, tmp_path), lambda i: i.update(digests={"data": "ab" * 32}))
    second = edit(twin(run, tmp_path), lambda i: i.update(digests={"data": "cd" * 32}))
    edit(second, lambda i: i["versions"].update(torch="2.14.0"))
    both = views([first, second])
    assert {d.key: d.values for d in made_with(both)} == {
        "data (sha256)": ("ab" * 6, "cd" * 6),
        "torch": ("2.13.0", "2.14.0"),
    }
    assert same_data(both) is False
    assert same_data(views([run, first])) is None
    assert labels(both) == ["torch 2.13.0", "torch 2.14.0"]
    assert "They did not measure the same data." in words_of(page_of([first, second], tmp_path / "page.html"))


def test_verdicts_stand_side_by_side(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", verdicts=[verdict("the softmax freezes", "holds"), verdict("confined", "holds")])
    other = twin(run.path, tmp_path, train__seed=7)
    result = json.loads((other / "result.json").read_text())
    result["verdicts"][1]["verdict"] = "does not hold"
    (other / "result.json").write_text(json.dumps(result))
    seen = words_of(page_of([run.path, other], tmp_path / "page.html"))
    assert "; they agree on 1 of 2 verdicts." in seen
    table = compare(views([run.path, other])).verdicts
    assert table is not None
    held, failed = "holds: 0.665 (0.660 ± 0.0100)", "does not hold: 0.665 (0.660 ± 0.0100)"
    assert table.rows == [("the softmax freezes", held, held), ("confined", held, failed)]


def verdict(claim: str, word: str) -> dict[str, object]:
    numbers = {"measured": 0.665, "predicted": 0.66, "error": 0.01}
    return {"claim": claim, "verdict": word, "quantity": "q", "step": 60, "why": "so", **numbers}


def test_hostile_names_are_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run").path
    words = ("<script>a", "%{x}$\\frac{$")
    page = make_comparison([twin(run, tmp_path, model__name=word) for word in words], tmp_path / "out")
    assert "<script>a" not in page.read_text(encoding="utf-8")
    marks = figures_of(page)["eigenvalues"]["data"]
    assert marks[0]["hovertemplate"].startswith("name &lt;script>a<br>")
    assert "%{x}$" not in marks[1]["hovertemplate"]


def test_unfinished_runs_compare_with_what_they_have(tmp_path: Path) -> None:
    under_way = make_run(tmp_path / "a", tables=("eigenvalues",), finished=False, status=None).path
    done = make_run(tmp_path / "b").path
    page = page_of([under_way, done], tmp_path / "page.html")
    assert list(figures_of(page)) == ["eigenvalues"]
    assert "run 1: This run has not ended." in words_of(page)


def test_the_configurations_are_there_in_full(pair: list[Path], tmp_path: Path) -> None:
    text = page_of(pair, tmp_path / "page.html").read_text(encoding="utf-8")
    shown = [yaml.safe_load(part) for part in re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL)]
    assert [one["train"]["seed"] for one in shown] == [1, 2]
