"""Which parameters of a model an objective is a function of."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from distlandscape.errors import InputError


def selected(model: nn.Module, patterns: Sequence[str] | None) -> list[str]:
    """Names of parameters, in their order, that match a pattern or lie in a layer named by one.

    Without patterns: those that require gradients, where some do and some do not, else all.

    Raises:
        InputError: a pattern that matches nothing, or a parameter of whole numbers.
    """
    named = {name: p for name, p in model.named_parameters() if p.is_floating_point()}
    if patterns is None:
        learned = [name for name, parameter in named.items() if parameter.requires_grad]
        return learned or list(named)
    if isinstance(patterns, str):
        raise InputError(f"objective.parameters must be a list of patterns, not one text; give [{patterns!r}]")
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError(f"objective.parameters must be a list of texts, not {patterns!r}; give names or patterns")

    everywhere, names = places(model), [name for name, _ in model.named_parameters()]

    def matches(name: str, pattern: str) -> bool:
        """By any of the names that a tied parameter has."""
        return any(fnmatchcase(place, pattern) or place.startswith(f"{pattern}.") for place in everywhere[name])

    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise InputError(f"objective.parameters: no parameter matches {pattern!r}; there are {_listed(names)}")
    chosen = [name for name in names if any(matches(name, pattern) for pattern in patterns)]
    if not chosen:
        raise InputError("objective.parameters selects nothing; name at least one pattern, for example '*weight'")
    for name in chosen:
        if name not in named:
            raise InputError(
                f"objective.parameters: {name!r} holds whole numbers, which have no derivative; exclude it"
            )
    if not sum(named[name].numel() for name in chosen):
        raise InputError(f"objective.parameters selects {_listed(chosen)}, without a single entry; select more")
    return chosen


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:12])} and {len(names) - 12} more"


def places(model: nn.Module) -> dict[str, list[str]]:
    """Every place a parameter is used from, under its name; tied parameters have several, each module counts once."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            found[names[id(parameter)]].append(f"{prefix}.{name}" if prefix else name)
    return found
