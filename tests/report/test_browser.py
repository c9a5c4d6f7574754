"""The page in a real browser, without a network: opened as a file, and as MLflow shows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from distlandscape.report import make_report
from tests.report.fabricate import make_run
from tests.report.reading import FIGURES

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=15000",
    "--dump-dom",
)
# MLflow puts the file into a blob and shows that in a frame that may run scripts and nothing else.
FRAME = """<!DOCTYPE html><title>viewer</title><p id="told"></p>
<iframe sandbox="allow-scripts" style="width: 375px; height: 700px; border: 0"></iframe>
<script>
window.addEventListener("message", (event) => { document.getElementById("told").textContent = event.data; });
document.querySelector("iframe").src = URL.createObjectURL(new Blob([PAGE], { type: "text/html" }));
</script>"""
TELL = """<script>
{
  const drawn = (figure) => figure.querySelectorAll(".main-svg .trace, .main-svg .scatterlayer path").length;
  const figures = Array.from(document.querySelectorAll("figure"), (figure) => [figure.id, drawn(figure)]);
  const root = document.documentElement;
  parent.postMessage(JSON.stringify({ figures, overflow: root.scrollWidth - root.clientWidth }), "*");
}
</script>"""


def browse(file: Path, profile: Path) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what was said on the console."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert browser, "no Chromium: install one (Debian and Ubuntu: apt-get install chromium) or set CHROMIUM to its path"
    command = [browser, *FLAGS, f"--user-data-dir={profile}", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("tables", [FIGURES, ("eigenvalues",), ()])
def test_the_page_shows_its_figures(tmp_path: Path, tables: tuple[str, ...]) -> None:
    stored = {"training": "checkpoints"}
    run = make_run(tmp_path, tables=tuple(stored.get(name, name) for name in tables), model="</script><b>$")
    document, console = browse(make_report(run.path), tmp_path / "profile")
    assert console == []
    parts = dict(re.findall(r'<figure id="(\w+)" class="live">(.*?)</figure>', document, re.DOTALL))
    assert set(parts) == set(tables)
    for name, part in parts.items():
        assert '<svg class="main-svg"' in part, f"{name} was not drawn"
        assert "scatterlayer" in part, f"{name} has no curves"


def test_the_page_shows_its_figures_in_a_sandboxed_frame_of_a_phones_width(tmp_path: Path) -> None:
    report = make_report(make_run(tmp_path, unconverged=2).path)
    page = report.read_text(encoding="utf-8").replace("</body>", TELL + "</body>")
    viewer = tmp_path / "viewer.html"
    viewer.write_text(FRAME.replace("PAGE", json.dumps(page).replace("<", "\\u003c")), encoding="utf-8")
    document, console = browse(viewer, tmp_path / "profile")
    assert console == []
    told = re.search(r'<p id="told">(.+?)</p>', document)
    assert told, "the page in the frame did not run"
    answer = json.loads(told[1])
    assert [name for name, _ in answer["figures"]] == list(FIGURES)
    assert all(count > 0 for _, count in answer["figures"])
    assert answer["overflow"] <= 0


def test_an_error_or_a_load_would_be_seen(tmp_path: Path) -> None:
    page = make_report(make_run(tmp_path, tables=()).path)
    more = "<script>throw new Error('on purpose')</script><img src='https://example.org/picture.png'>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", more + "</body>"), encoding="utf-8")
    _, console = browse(page, tmp_path / "profile")
    assert any("on purpose" in line for line in console)
    assert any("Content Security Policy" in line and "example.org" in line for line in console)
