"""From a YAML file and ``a.b=value`` assignments to a checked configuration, or a sentence that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from distlandscape.config.schema import RunConfig
from distlandscape.config.text import brief, parse, read_mapping
from distlandscape.errors import InputError
from distlandscape.plain_yaml import problem

LONGEST_KEY = 120  # characters of a key that an error shows
DEEPEST = 16  # levels of a key, of options of a model for example


def load_config(file: str | Path | None = None, assignments: tuple[str, ...] | list[str] = ()) -> RunConfig:
    """Read a YAML file, apply ``a.b=value`` assignments (values are YAML), validate.

    Raises:
        InputError: unreadable file, unknown key, value out of range; the sentence names the key.
    """
    tree: dict[str, Any] = {}
    if file is not None:
        tree = read_mapping(Path(file))
    for assignment in assignments:
        _assign(tree, assignment)
    return validate_config(tree)


def validate_config(tree: dict[str, Any]) -> RunConfig:
    """Turn a nested mapping into a RunConfig, or say in one sentence which key is wrong."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise InputError(_sentence(error)) from None


def _assign(tree: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"--set {brief(assignment)} is not of the form section.key=value, for example spectrum.k=20")
    try:
        value = parse(text)
    except yaml.YAMLError as error:
        raise InputError(
            f"--set {brief(assignment)}: the value is not valid YAML: {problem(error)}; quote it"
        ) from None
    if len(parts) > DEEPEST:
        raise InputError(f"--set {brief(assignment)} names {len(parts)} levels, and keys have {DEEPEST} at most")
    for part in parts[:-1]:
        branch = tree.setdefault(part, {})
        if not isinstance(branch, dict):
            raise InputError(f"--set {brief(assignment)}: {brief(part)} is not a section with keys; set it as a whole")
        tree = branch
    tree[parts[-1]] = value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the configuration"
    if len(key) > LONGEST_KEY:
        key = f"{key[: LONGEST_KEY - 1]}…"
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        return f"unknown configuration key {key!r}; known here: {', '.join(known)}"
    if first["type"] in ("model_type", "model_attributes_type"):
        known = _known_keys((*first["loc"], ""))
        return f"configuration key {key!r} is a section; set one of its keys: {', '.join(known)}"
    message = _MESSAGES.get(
        first["type"], first["msg"].removeprefix("Value error, ").replace("Input should", "it must")
    )
    return f"configuration key {key!r} is {brief(first['input'])}, but {message}; correct it"


_MESSAGES = {
    "tuple_type": "it must be a list, for example [a, b]",
    "dict_type": "it must be a mapping, for example {key: value}",
    "string_type": "it must be text: put it in quotes",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
    "finite_number": "it must be a finite number",
    "string_too_short": "it must not be empty",
    "invalid_key": "names of keys must be text: put it in quotes",
    "invalid-json-value": "it must be a number, text, true, false, a list or a mapping: put it in quotes",
}


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for part in location[:-1]:
        if isinstance(part, int):  # an element of a list, whose model was taken with the list
            continue
        annotation = model.model_fields[part].annotation
        models = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        model = models[0]
    return sorted(model.model_fields)
