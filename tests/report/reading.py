"""What a reader, and a parser, finds on the page."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

from distlandscape.record.run import Run
from distlandscape.report.page import render
from distlandscape.report.tables import load

FIGURES = ("density", "eigenvalues", "confinement", "training")
FITS = "document.documentElement.scrollWidth <= innerWidth"
# Whatever stands out of the window on the right, tables and figures included.
OUTSIDE = """Array.from(document.body.querySelectorAll("*"))
  .filter((one) => one.checkVisibility())
  .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((one) => one.outerHTML.slice(0, 200))"""


def page_of(run: Run) -> Path:
    """The page alone, without the time that PNG figures take."""
    page = run.path / "report.html"
    page.write_text(render(load(run), dict.fromkeys(FIGURES, b"")), encoding="utf-8")
    return page


def source_of(page: Path) -> str:
    """The page without plotly's own script."""
    text = page.read_text(encoding="utf-8")
    start = text.index('<script type="text/plain" id="plotly">')
    return text[:start] + text[text.index("</script>", start) :]


def words_of(page: Path) -> str:
    """What a reader sees, without tags and scripts."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", source_of(page), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())


def figures_of(page: Path) -> dict[str, dict[str, Any]]:
    found = re.findall(
        r'<script type="application/json" data-figure="(\w+)">(.*?)</script>', source_of(page), re.DOTALL
    )
    return {name: json.loads(text) for name, text in found}
