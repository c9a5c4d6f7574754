"""Finds operations that cannot be differentiated twice: torch does not always raise, and seldom says which."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from distlandscape.errors import InputError
from distlandscape.objective import Batch, Objective
from distlandscape.objective.failures import told

INSTEAD = "use distlandscape.runtime.FiniteDifferenceHessian, which is approximate"
NAMED = re.compile(r"derivative for (?:aten::)?'?(\w+)'? is not implemented")


def require_second_derivative(objective: Objective) -> None:
    """Differentiate the loss of two samples twice.

    Raises:
        InputError: an operation has no second derivative, it fails, or the result is not finite.
    """
    x, y = (array[:2] for array in objective.data.block(0))
    device = next(objective.model.parameters()).device
    batch = Batch(*objective.tensors(x, y, device, channels_last=True), 0)
    leaves = objective.leaves()
    loss = objective.loss_sum(leaves, batch.x, batch.y)
    if not loss.requires_grad:
        return
    with named_missing_derivative([loss]):
        gradient = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        sparse = next((name for name, g in zip(objective.names, gradient, strict=True) if g.is_sparse), None)
        if sparse is not None:
            raise InputError(
                f"the gradient of {sparse!r} is sparse, and a sparse gradient has no second derivative; call embeddings"
                " with sparse=False"
            )
        # A function marked once_differentiable leaves a node that raises when it is reached; but where gradients of
        # chosen tensors are asked for, torch prunes that path and returns a wrong second derivative without a word.
        if any(node.name() == "torch::autograd::Error" for node in graph_nodes(gradient)):
            raise InputError(_sentence(_custom_functions([loss])))
        moving = [g for g in gradient if g.requires_grad]
        second = (
            torch.autograd.grad(moving, leaves, moving, allow_unused=True, materialize_grads=True) if moving else ()
        )
    if not all(bool(torch.isfinite(t).all()) for t in (*gradient, *second)):
        raise InputError(
            "derivatives of the loss of the first samples are not finite; look for a square root, norm or logarithm at"
            " 0 in model or loss"
        )


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
                raise InputError(_sentence(named[1])) from error
            if "once_differentiable" in str(error):
                raise InputError(_sentence(_custom_functions(outputs))) from error
            raise


def _sentence(operation: str) -> str:
    return (
        f"the model or loss uses {operation}, which has no second derivative; replace it by operations that have one,"
        f" or {INSTEAD}"
    )


def _custom_functions(outputs: Sequence[Tensor]) -> str:
    """Names of the Python-defined autograd functions in the graph behind ``outputs``."""
    base: Any = BackwardCFunction
    nodes = [type(node) for node in graph_nodes(outputs) if isinstance(node, base)]
    # The package's own kernels are functions in Python too, and have second derivatives.
    theirs = [node for node in nodes if not node._forward_cls.__module__.startswith("distlandscape.")]
    custom = {node.__name__.removesuffix("Backward") for node in theirs}
    return " or ".join(sorted(custom)) or "a function marked once_differentiable"


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
