"""What the graph behind some tensors holds in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from distlandscape.curvature.missing import graph_nodes


def held_bytes(roots: Sequence[Tensor]) -> int:
    """Bytes of all storages that the roots and their graphs keep alive, each once, the leaves' own left out.

    The resident set or the allocator's counter would miss what reuses memory freed before, and count what others take.
    """
    sizes: dict[int, int] = {}
    leaves: set[int] = set()
    for root in roots:
        _count(root, sizes)
    for node in graph_nodes(roots):
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            leaves.add(variable.untyped_storage().data_ptr())
        for value in _saved(node):
            _count(value, sizes)
    return sum(size for storage, size in sizes.items() if storage not in leaves)


def _saved(node: Any) -> Iterator[Any]:
    """What a node of the graph saved for its backward: torch's own nodes name it, functions in Python list it."""
    if isinstance(node, torch.autograd.function.BackwardCFunction):
        yield from node.saved_tensors
        yield from vars(node).values()
        return
    for name in dir(node):
        if name.startswith("_saved_"):
            yield getattr(node, name)


def _count(value: Any, sizes: dict[int, int]) -> None:
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
    elif isinstance(value, (tuple, list)):
        for each in value:
            _count(each, sizes)
