"""YAML without references, which can grow without bound when what they stand for is looked at."""

from __future__ import annotations

import textwrap

import yaml


class PlainLoader(yaml.SafeLoader):
    """Safe YAML that refuses references (``*name``)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """See yaml.composer.Composer."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "references (*name) are not allowed", mark)
        return super().compose_node(parent, index)


def problem(error: yaml.YAMLError) -> str:
    """What is wrong with a YAML text and where, in a few words."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if reason.startswith("but "):
        reason = f"{getattr(error, 'context', '')}, {reason}"
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return textwrap.shorten(reason, 120, placeholder="…") + where
