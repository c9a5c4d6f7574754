"""How results name what they were measured on."""

from __future__ import annotations

from distlandscape.config import RunConfig


def described(config: RunConfig) -> str:
    """The model and its options in words."""
    options = ", ".join(f"{name} {value}" for name, value in config.model.options.items())
    return f"{config.model.name} ({options})" if options else config.model.name
