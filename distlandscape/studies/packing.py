"""Results to what a stage can store, and back, without loss of a bit."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import torch

from distlandscape.record.run import Stage
from distlandscape.results import Trust

T = TypeVar("T")


def pack(result: Any) -> Stage:
    """Split a frozen result into named arrays and plain values."""
    arrays: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for field in fields(result):
        value = getattr(result, field.name)
        if isinstance(value, torch.Tensor):
            arrays[field.name] = value.numpy()
        elif isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, Trust):
            values[field.name] = value.as_dict()
        else:
            values[field.name] = value
    return Stage(arrays, values)


def unpack(kind: type[T], stage: Stage) -> T:
    """Rebuild a result of the given kind."""
    values = dict(stage.values)
    if "trust" in values:
        values["trust"] = Trust(**values["trust"])
    arrays: dict[str, Any] = dict(stage.arrays)
    if "eigenvectors" in arrays:
        arrays["eigenvectors"] = torch.from_numpy(arrays["eigenvectors"])
    return kind(**values, **arrays)
