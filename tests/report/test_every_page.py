"""Every study's page, and comparisons, in a browser: on a phone, on a desk and on paper, in light and in dark."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distlandscape.report import make_comparison
from tests.report.chromium import Browser, Tab, chromium
from tests.report.conftest import STUDIES, twin
from tests.report.reading import FITS, OUTSIDE, figures_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

COMPARED = ("spectrum", "emergence", "hyperplane", "goldilocks", "theory")
PAGES = (*STUDIES, *(f"two of {study}" for study in COMPARED), "five studies")
MB = 1_000_000
# The text that each button would save, by figure.
SAVED = """(async () => {
  const blobs = [];
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => { blobs.push(blob); return "#saved"; };
  const buttons = Array.from(document.querySelectorAll(".download button"));
  for (const button of buttons) button.click();
  URL.createObjectURL = make;
  const texts = await Promise.all(blobs.map((blob) => blob.text()));
  return Object.fromEntries(buttons.map((button, i) => [button.closest("figure").id, texts[i]]));
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all pages."""
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def page(measured: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A page by its name in ``PAGES``, made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("page")
            if name in STUDIES:
                made[name] = measured(name) / "report.html"
            elif name == "five studies":
                names = ("spectrum", "train", "clustering", "hierarchy", "emergence")
                made[name] = make_comparison([measured(study) for study in names], folder)
            else:
                run = measured(name.removeprefix("two of "))
                other = twin(run, folder / "twins", train__learning_rate=0.03)
                made[name] = make_comparison([run, other], folder)
        return made[name]

    return make


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_the_page_fits_and_draws_without_a_complaint(
    browser: Browser, page: Callable[[str], Path], name: str, width: int, dark: bool
) -> None:
    file = page(name)
    with browser.tab(width=width, height=844, dark=dark, phone=width < 500) as tab:
        tab.open(file)
        assert tab.complaints() == []
        assert tab.evaluate(FITS)
        assert tab.evaluate(OUTSIDE) == []
        for figure in figures_of(file):
            drawn = f"document.querySelectorAll('#{figure} .main-svg :is(.trace, .hm)').length"
            assert tab.evaluate(drawn) > 0, f"{figure} is empty"
        tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert tab.evaluate(FITS), "what is folded away is too wide"


@pytest.mark.parametrize("name", PAGES)
def test_each_figure_saves_what_it_draws(browser: Browser, page: Callable[[str], Path], name: str) -> None:
    file = page(name)
    figures = figures_of(file)
    with browser.tab() as tab:
        tab.open(file)
        saved = tab.evaluate(SAVED)
        assert tab.complaints() == []
    assert set(saved) == set(figures)
    for figure, text in saved.items():
        rows = list(csv.DictReader(io.StringIO(text)))
        # Guides of the eye are no data; every other point is there.
        traces = [t for t in figures[figure]["data"] if t.get("hoverinfo") != "skip" or "meta" in t]
        kept = [
            (x, y) for t in traces if "z" not in t for x, y in zip(t["x"], t["y"], strict=True) if None not in (x, y)
        ]
        cells = [z for t in traces if "z" in t for row in t["z"] for z in row]
        assert len(rows) == len(kept) + len(cells) > 0
        points = rows if not cells else [row for row in rows if row.get("value") == ""]
        if None not in cells:
            assert [float(row["y"]) for row in points] == [float(y) for _, y in kept]
        assert all(row.get("series") or row.get("y_axis") or row.get("panel") for row in rows), "nobody could read it"


def test_the_csv_has_steps_errors_and_names(browser: Browser, page: Callable[[str], Path]) -> None:
    with browser.tab() as tab:
        tab.open(page("spectrum"))
        saved = tab.evaluate(SAVED)
    plot = figures_of(page("spectrum"))["eigenvalues"]["data"][0]
    first = next(csv.DictReader(io.StringIO(saved["eigenvalues"])))
    assert first["series"] == "largest eigenvalues"
    assert first["x"] == "1"
    assert float(first["y"]) == plot["y"][0]
    assert float(first["error_plus"]) == plot["error_y"]["array"][0]
    steps = {row["x"] for row in csv.DictReader(io.StringIO(saved["training"]))}
    assert {"0", "1", "60"} <= steps


@pytest.mark.parametrize("name", [*STUDIES, "two of emergence"])
def test_on_paper_everything_is_unfolded_and_nothing_is_cut_off(
    browser: Browser, page: Callable[[str], Path], name: str
) -> None:
    file = page(name)
    with browser.tab(width=718, dark=True) as tab:  # A4 without its margins
        tab.open(file)
        tab.emulate(media="print", dark=True)
        visible = "Array.from(document.querySelectorAll({})).filter((one) => one.checkVisibility()).length"
        folded = "'details > :not(summary)'"
        assert tab.evaluate(visible.format(folded)) == tab.evaluate(f"document.querySelectorAll({folded}).length") > 0
        assert tab.evaluate(visible.format("'button, figure .plot'")) == 0
        assert tab.evaluate(visible.format("'figure img'")) == len(figures_of(file))
        assert tab.evaluate(OUTSIDE) == []
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        paper = tab.pdf()
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Subtype /Image") >= len(figures_of(file))


def test_the_largest_page_is_light_and_opens_soon(browser: Browser, page: Callable[[str], Path]) -> None:
    largest = max((page(study) for study in STUDIES), key=lambda file: file.stat().st_size)
    assert largest.stat().st_size < 4 * MB
    with browser.tab() as tab:
        # Time the page's own thread computes: other programs on the machine have no part in it.
        tab.send("Performance.enable", timeDomain="threadTicks")
        tab.send("Page.navigate", url=largest.as_uri())
        tab.until("document.querySelector('.main-svg') !== null")
        assert _busy(tab) < 2.0


def _busy(tab: Tab) -> float:
    metrics = {one["name"]: one["value"] for one in tab.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])
