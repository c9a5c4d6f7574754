"""Samples and targets as users hand them over, made a block store, or why they cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distlandscape.data.blocks import BlockStore, Samples
from distlandscape.errors import InputError
from distlandscape.objective.failures import brief


def block_store(data: Any) -> BlockStore:
    """The store itself, or one of (X, y): tensors, arrays or nested lists.

    bfloat16 numbers become float32, which holds all of them.

    Raises:
        InputError: anything else, or arrays that a store does not take.
    """
    if isinstance(data, BlockStore):
        return data
    if isinstance(data, list) and data and all(_is_batch(part) for part in data):
        raise InputError(
            f"data is a list of {len(data)} batches; give (X, y) with all samples, for example"
            " (torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))"
        )
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise InputError(f"data must be (X, y) or a BlockStore, not a {type(data).__name__}; give both arrays")
    x, y = data
    return BlockStore.from_arrays(_array("X", x), _array("y", y))


def _is_batch(part: Any) -> bool:
    return (
        isinstance(part, (tuple, list))
        and len(part) == 2
        and all(isinstance(half, (Tensor, np.ndarray)) for half in part)
    )


def _array(name: str, given: Any) -> Samples:
    if isinstance(given, Tensor):
        return _of_tensor(name, given.detach())
    if isinstance(given, Mapping):
        raise InputError(
            f"{name} is a {type(given).__name__} of arrays, and a model is called with one; give one array, and let a"
            " module of your own take it apart"
        )
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise InputError(f"{name} is an array with masked entries; fill them, or leave those samples out")
    if hasattr(given, "toarray"):  # scipy's sparse arrays, which numpy wraps as one object
        raise InputError(f"{name} is sparse, a {type(given).__name__}; give {name}.toarray()")
    if isinstance(given, (list, tuple)) and any(isinstance(row, Tensor) for row in given):
        shapes = {tuple(row.shape) for row in given if isinstance(row, Tensor)}
        if len(shapes) == 1 and all(isinstance(row, Tensor) for row in given):
            return _of_tensor(name, torch.stack([row.detach() for row in given]))
        raise InputError(_ragged(name))
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as error:
        if isinstance(given, (list, tuple)):
            raise InputError(_ragged(name)) from error
        raise InputError(f"{name}, a {type(given).__name__}, cannot be made an array ({brief(error)})") from error


def _of_tensor(name: str, tensor: Tensor) -> Samples:
    if tensor.is_nested:
        raise InputError(f"{name} is a nested tensor; pad it, {name}.to_padded_tensor(0)")
    if tensor.layout != torch.strided:
        raise InputError(f"{name} is sparse ({tensor.layout}); give {name}.to_dense()")
    if tensor.is_quantized:
        raise InputError(f"{name} is quantized; give {name}.dequantize()")
    if tensor.is_meta:
        raise InputError(f"{name} lies on the meta device, without values; give the numbers")
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    try:
        return np.asarray(tensor.cpu().resolve_conj().resolve_neg().numpy())
    except TypeError as error:
        raise InputError(f"{name} holds {tensor.dtype}, which numpy does not know; convert it to float32") from error


def _ragged(name: str) -> str:
    return f"{name} is a list of rows of different lengths or kinds; pad them to one shape and give one array"
