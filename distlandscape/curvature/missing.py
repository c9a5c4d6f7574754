"""Finds operations that cannot be differentiated twice: torch does not always raise, and seldom says which."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction

from distlandscape.errors import InputError
from distlandscape.objective.failures import told

INSTEAD = "use distlandscape.runtime.FiniteDifferenceHessian, which is approximate"
NAMED = re.compile(r"derivative for (?:aten::)?'?(\w+)'? is not implemented")


@contextlib.contextmanager
def named_missing_derivative(outputs: Sequence[Tensor]) -> Iterator[None]:
    """Turn an error of a differentiation into an InputError: one about a missing derivative names the operation.

    Args:
        outputs: where the graph that is differentiated ends.
    """
    with told("the model or loss cannot be differentiated", f"replace what raises this, or {INSTEAD}"):
        try:
            yield
        except RuntimeError as error:
            named = NAMED.search(str(error))
            if named:
                raise InputError(without_second_derivative(named[1])) from error
            if "once_differentiable" in str(error):
                custom = " or ".join(custom_functions(outputs)) or "a function marked once_differentiable"
                raise InputError(without_second_derivative(custom)) from error
            raise


def without_second_derivative(operation: str) -> str:
    """The sentence about an operation that lacks it."""
    return (
        f"the model or loss uses {operation}, which has no second derivative; replace it by operations that have one,"
        f" or {INSTEAD}"
    )


def custom_functions(outputs: Sequence[Tensor]) -> list[str]:
    """Names of the Python-defined autograd functions in the graph behind ``outputs``."""
    base: Any = BackwardCFunction
    nodes = [type(node) for node in graph_nodes(outputs) if isinstance(node, base)]
    # The package's own kernels are functions in Python too, and have second derivatives.
    theirs = [node for node in nodes if not node._forward_cls.__module__.startswith("distlandscape.")]
    return sorted({node.__name__.removesuffix("Backward") for node in theirs})


def graph_nodes(outputs: Sequence[Tensor]) -> set[Any]:
    """All nodes of the graph behind some tensors."""
    seen: set[Any] = set()
    waiting: list[Any] = [output.grad_fn for output in outputs]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return seen
