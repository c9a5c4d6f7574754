"""YAML as configurations need it: safe, small, without references and repeated keys; and words for what is wrong."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

from distlandscape.errors import InputError

MAX_BYTES = 2**16  # of a configuration file


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping of sections in a YAML file.

    Raises:
        InputError: unreadable, too large, not YAML, or no mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"the configuration {path} is larger than {MAX_BYTES:,} bytes; give a YAML file of keys")
        tree = parse(content.decode("utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot read the configuration {path}: {error.strerror}; give an existing YAML file"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"the configuration {path} is not UTF-8 text; give a YAML file") from None
    except yaml.YAMLError as error:
        raise InputError(f"the configuration {path} is not valid YAML: {problem(error)}; correct it") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(
            f"the configuration {path} must be a mapping of sections (data: …, model: …), not a {type(tree).__name__}"
        )
    # A section without keys, as when all of them are commented out, is an empty one.
    return {key: {} if value is None else value for key, value in tree.items()}


class _Loader(yaml.SafeLoader):
    """Safe YAML without what a configuration has no use for: references, which can grow without bound, and repeats."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "references (*name) are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r} appears twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=True)


# YAML 1.1 reads 1e-3 as text; people mean a number.
_Loader.yaml_implicit_resolvers = {
    first: list(kinds) for first, kinds in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z"), list("-+.0123456789")
)


def parse(text: str) -> Any:
    """The value a YAML text stands for.

    Raises:
        yaml.YAMLError: it is not YAML, or uses what is not allowed.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 – a SafeLoader
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except ValueError as error:  # a date or number that only looks like one
        raise yaml.YAMLError(str(error)) from None


def problem(error: yaml.YAMLError) -> str:
    """What is wrong with a YAML text and where, in a few words."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if reason.startswith("but "):
        reason = f"{getattr(error, 'context', '')}, {reason}"
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return textwrap.shorten(reason, 120, placeholder="…") + where


def brief(value: Any) -> str:
    """A value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
