"""YAML as configurations need it: safe, small, without references and repeated keys; and words for what is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from distlandscape.errors import InputError
from distlandscape.files import open_regular
from distlandscape.plain_yaml import PlainLoader, problem

MAX_BYTES = 2**16  # of a configuration file
MOST_DIGITS = 40  # of a whole number; Python refuses to write those of thousands


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping of sections in a YAML file.

    Raises:
        InputError: unreadable, too large, not YAML, or no mapping.
    """
    try:
        with open_regular(path) as file:
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


class _Loader(PlainLoader):
    """Without what else a configuration has no use for: repeated keys, and numbers that no key takes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r} appears twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=True)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        number = int(self.construct_yaml_int(node))
        if abs(number) >= 10**MOST_DIGITS:
            raise yaml.MarkedYAMLError(
                None, None, f"a whole number has more than {MOST_DIGITS} digits", node.start_mark
            )
        return number


# YAML 1.1 reads 1e-3 as text; people mean a number.
_Loader.yaml_implicit_resolvers = {
    first: list(kinds) for first, kinds in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
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


def brief(value: Any) -> str:
    """A value as a sentence can hold it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists in lists in lists
        text = f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= 80 else text[:79] + "…"
