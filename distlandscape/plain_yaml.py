"""YAML without references, which can grow without bound when what they stand for is looked at."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml

from distlandscape.errors import InputError


class PlainLoader(yaml.SafeLoader):
    """Safe YAML that refuses references (``*name``)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """See yaml.composer.Composer."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "references (*name) are not allowed", mark)
        return super().compose_node(parent, index)


def read_written(path: Path) -> dict[str, Any]:
    """The mapping in a file that ``yaml.safe_dump`` wrote; how large it may be is for the caller to say.

    Raises:
        InputError: something else is in it.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=PlainLoader)  # noqa: S506 – a SafeLoader
        why = "it is no mapping"
    except yaml.YAMLError as error:
        tree, why = None, problem(error)
    except (OSError, ValueError, RecursionError) as error:
        tree, why = None, type(error).__name__
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise InputError(f"{path} is not the configuration of a run ({why}); start a new one")
    return tree


def problem(error: yaml.YAMLError) -> str:
    """What is wrong with a YAML text and where, in a few words."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if reason.startswith("but "):
        reason = f"{getattr(error, 'context', '')}, {reason}"
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return textwrap.shorten(reason, 120, placeholder="…") + where
