"""What every page is rendered with: one HTML file that holds all it needs."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from distlandscape.report import style


def render_page(template: str, **content: Any) -> str:
    """The HTML of a template in this folder, filled with ``content``; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("distlandscape", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["json"] = _json
    themes = {"light": style.LIGHT, "dark": style.DARK}
    return environment.get_template(template).render(themes=themes, plotly=_packed_plotly(), **content)


def png_uri(image: bytes) -> str:
    """An image as an address that needs no network."""
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _packed_plotly() -> str:
    """Plotly's script, compressed to two fifths; the page unpacks it."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
