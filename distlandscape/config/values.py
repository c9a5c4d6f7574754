"""Kinds of values a section holds, and what all sections have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _no_bool(value: Any) -> Any:
    """Python counts true as 1; a person who wrote it meant something else."""
    if isinstance(value, bool):
        raise ValueError("it must be a number, not true or false")
    return value


def _all_or_patterns(value: Any) -> Any:
    """``all`` stands for the pattern that every layer matches."""
    if isinstance(value, str):
        if value != "all":
            raise ValueError(f"it must be all, or a list of patterns of layer names, for example [{value[:40]}]")
        return ("*",)
    return value


Integer = Annotated[int, BeforeValidator(_no_bool)]
Real = Annotated[float, BeforeValidator(_no_bool)]
Layers = Annotated[tuple[str, ...], BeforeValidator(_all_or_patterns)]
MAX_SEED = 2**63 - 1  # what torch's generators take


class Section(BaseModel):
    """A section of the configuration: frozen, and without keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
