"""Layers: the parameters of one module, by which the diagonal blocks of a Hessian are named."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from distlandscape.errors import InputError


def layers(names: Sequence[str]) -> dict[str, list[str]]:
    """Names of parameters by layer, in their order; a parameter of the model itself is a layer of its own."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return found


def chosen_layers(names: Sequence[str], patterns: Sequence[str]) -> dict[str, list[str]]:
    """The layers that match a pattern (shell wildcards), or lie in a module named by one.

    Raises:
        InputError: a pattern that no layer matches, or no pattern.
    """
    there = layers(names)

    def matches(layer: str, pattern: str) -> bool:
        return fnmatchcase(layer, pattern) or layer.startswith(f"{pattern}.")

    for pattern in patterns:
        if not any(matches(layer, pattern) for layer in there):
            listed = ", ".join(there) if len(there) <= 12 else f"{', '.join([*there][:12])} and {len(there) - 12} more"
            raise InputError(f"spectrum.layers: no layer matches {pattern!r}; there are {listed}")
    if not patterns:
        raise InputError("spectrum.layers names no layer; give all, or at least one pattern")
    return {layer: own for layer, own in there.items() if any(matches(layer, pattern) for pattern in patterns)}
