"""Sphinx configuration."""

import tomllib
from pathlib import Path

_project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "distlandscape"
author = "The distlandscape developers"
copyright = author
release = version = _project["version"]

extensions = ["myst_nb"]
exclude_patterns = ["_generated", "_build", "jupyter_execute"]
nitpicky = True

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Code cells run at every build; a cell that raises fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

html_theme = "furo"
html_title = "distlandscape"
html_static_path = ["_static"]
