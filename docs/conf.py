"""Sphinx configuration."""

import re
import tomllib
from pathlib import Path

_project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "distlandscape"
author = "The distlandscape developers"
copyright = author
release = version = _project["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_generated", "_build", "jupyter_execute"]
nitpicky = True
# Docstrings name what they raise by its last name, and other packages have no address here.
nitpick_ignore_regex = [("py:exc", r".*"), ("py:class", r"(matplotlib|numpy|pyarrow|torch)\..*")]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Code cells run at every build, away from the sources; a cell that raises fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # a cell takes seconds, on a busy machine minutes
nb_execution_in_temp = True
nb_output_stderr = "remove"  # progress
nb_render_markdown_format = "myst"  # has tables

autodoc_typehints = "none"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "distlandscape"
html_static_path = ["_static"]


FIELDS = {"Args": "param", "Attributes": "ivar", "Raises": "raises", "Returns": "returns"}


def _as_fields(app, what, name, obj, options, lines):
    """Sections of a docstring become fields; the rest is plain text, where a bar is a norm and a star a star."""
    out, section = [], None
    for line in lines:
        text = re.sub(r"(``.*?``)|([|*])", lambda m: m[1] or "\\" + m[2], line.strip())
        if line.endswith(":") and line[:-1] in FIELDS:
            section = FIELDS[line[:-1]]
            out += [""] + ([":returns:"] if section == "returns" else [])
        elif section is None or (text and not line.startswith(" ")):
            section = None
            out.append(line[: len(line) - len(line.lstrip())] + text)
        elif section != "returns" and re.match(r" {4}\w+: ", line):
            key, _, rest = text.partition(": ")
            out.append(f":{section} {key}: {rest}")
        else:
            out.append(f"    {text}" if text else "")
    lines[:] = [*out, ""]


def setup(app):
    app.connect("autodoc-process-docstring", _as_fields)
