"""The keys of a section as help and documentation list them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from distlandscape.config.schema import RunConfig


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: as it is set, ``section.key``.
        default: as YAML writes it.
        description: one line: what it is, in which unit, and what ``null`` stands for.
    """

    name: str
    default: str
    description: str


def keys_of(section: str) -> list[Key]:
    """All keys of a section, in the order of the schema."""
    schema = RunConfig.model_fields[section].annotation
    assert schema is not None, "every section has a schema"
    fields = schema.model_fields
    defaults = schema().model_dump(mode="json")
    return [Key(f"{section}.{name}", _yaml(defaults[name]), fields[name].description or "") for name in fields]


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
