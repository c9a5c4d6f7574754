"""The page in a real browser where it is hardest: with parts missing, in a sandboxed frame, with hostile names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from distlandscape.report import make_report
from tests.report.chromium import Browser, chromium
from tests.report.fabricate import make_run
from tests.report.reading import FIGURES

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

# MLflow puts the file into a blob and shows that in a frame that may run scripts and nothing else.
FRAME = """<!DOCTYPE html><title>viewer</title>
<iframe sandbox="allow-scripts" style="width: 375px; height: 7000px; border: 0"></iframe>
<script>
window.addEventListener("message", (event) => { window.told = event.data; });
document.querySelector("iframe").src = URL.createObjectURL(new Blob([PAGE], { type: "text/html" }));
</script>"""
TELL = """<script>
{
  const figures = Array.from(document.querySelectorAll("figure"));
  const tell = () => {
    if (!figures.every((figure) => figure.querySelector(".main-svg"))) { setTimeout(tell, 50); return; }
    const root = document.documentElement;
    const names = figures.map((figure) => figure.id);
    parent.postMessage(JSON.stringify({ names, overflow: root.scrollWidth - root.clientWidth }), "*");
  };
  tell();
}
</script>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all pages."""
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.parametrize("tables", [FIGURES, ("eigenvalues",), ()])
def test_the_page_shows_its_figures(browser: Browser, tmp_path: Path, tables: tuple[str, ...]) -> None:
    stored = {"training": "checkpoints"}
    run = make_run(tmp_path, tables=tuple(stored.get(name, name) for name in tables), model="</script><b>$")
    with browser.tab() as tab:
        tab.open(make_report(run.path))
        assert tab.complaints() == []
        drawn = tab.evaluate("Array.from(document.querySelectorAll('figure:has(.scatterlayer .trace)'), (f) => f.id)")
    assert drawn == list(tables)


def test_the_page_shows_its_figures_in_a_sandboxed_frame_of_a_phones_width(browser: Browser, tmp_path: Path) -> None:
    report = make_report(make_run(tmp_path, unconverged=2).path)
    page = report.read_text(encoding="utf-8").replace("</body>", TELL + "</body>")
    viewer = tmp_path / "viewer.html"
    viewer.write_text(FRAME.replace("PAGE", json.dumps(page).replace("<", "\\u003c")), encoding="utf-8")
    with browser.tab(height=8000) as tab:
        tab.open(viewer)
        tab.until("window.told !== undefined")
        answer = json.loads(tab.evaluate("window.told"))
        assert tab.complaints() == []
    assert answer["names"] == list(FIGURES)
    assert answer["overflow"] <= 0


def test_colours_follow_the_scheme(browser: Browser, tmp_path: Path) -> None:
    page = make_report(make_run(tmp_path, tables=("eigenvalues",)).path)
    ink = "document.querySelector('.main-svg .ytick text').style.fill"
    with browser.tab() as tab:
        tab.open(page)
        assert tab.evaluate(ink) == "rgb(27, 31, 36)"
        tab.emulate(dark=True)
        tab.until(f"{ink} === 'rgb(228, 231, 234)'")


def test_an_error_or_a_load_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    page = make_report(make_run(tmp_path, tables=()).path)
    more = "<script>throw new Error('on purpose')</script><img src='https://example.org/picture.png'>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", more + "</body>"), encoding="utf-8")
    with browser.tab() as tab:
        tab.open(page)
        console = tab.complaints()
    assert any("on purpose" in line for line in console)
    assert any("Content Security Policy" in line and "example.org" in line for line in console)
