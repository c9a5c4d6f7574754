"""A copy of the user's module that can be differentiated twice and called with other weights; or why there is none."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from distlandscape.errors import InputError
from distlandscape.objective.failures import told

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def private_copy(model: Any, dtype: torch.dtype | None) -> nn.Module:
    """A copy in ``dtype`` (None: that of the parameters), in eval mode, on the device of the model.

    Wrappers that only say how a module runs (DataParallel, torch.compile) are taken off, wherever they are. Tensors
    kept from an earlier forward pass lose their history. Embeddings give dense gradients. Parameters keep their
    ``requires_grad``.

    Raises:
        InputError: what is no module, or has parameters that are complex, uninitialized, without values or in pieces
            elsewhere, or compiled code that cannot be differentiated twice.
    """
    _require_module(model)
    while (inner := _wrapped(model)) is not None:
        model = inner
    require_usable(model)
    precision = _precision(model, dtype)
    with told("the model cannot be copied", "hold in it what copy.deepcopy can copy"):
        copied = detached_copy(model)
    with told("the copy of the model cannot be put into eval mode", "correct its train() or eval()"):
        copied.eval()  # what it returns is the user's affair
    convert(copied, precision)
    for module in copied.modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            module.sparse = False
    return copied


def convert(model: nn.Module, precision: torch.dtype) -> None:
    """Bring the numbers of a module to ``precision``, in place, those of plain tensors too.

    Complex buffers keep their imaginary part.
    """

    def converted(tensor: Tensor) -> Tensor:
        if tensor.is_complex():  # ``to`` would drop its imaginary part
            return tensor.to(COMPLEX[precision])
        return tensor.to(precision) if tensor.is_floating_point() else tensor

    whole: Any = model  # whose method has no types
    whole._apply(converted)
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.is_leaf:
                setattr(module, name, converted(value))


def detached_copy(model: nn.Module) -> nn.Module:
    """A deep copy without wrappers, and without the history of tensors that modules hold."""
    memo: dict[int, Any] = {id(tensor): tensor.detach().clone() for tensor in _tensors_with_history(model)}
    for module in reversed([*model.modules()]):  # inner wrappers first, so that outer ones hold none
        inner = _wrapped(module)
        if inner is not None:
            memo[id(module)] = copy.deepcopy(inner, memo)
    return copy.deepcopy(model, memo)


def has_history(model: nn.Module) -> bool:
    """Whether modules hold tensors with the graph of a forward pass."""
    return next(_tensors_with_history(model), None) is not None


class NoWeightsOf(TorchFunctionMode):
    """While it is entered, an operation that reads a weight of ``given``, not one of its copy, raises InputError.

    A lambda or closure is not copied with the module that holds it: its derivatives would be zero without a word.
    """

    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        named = [*given.named_parameters(), *given.named_buffers()]
        self._names = {t.untyped_storage().data_ptr(): name for name, t in named if t.numel()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_leaves((args, kwargs or {})):
            if isinstance(value, Tensor) and value.layout == torch.strided:
                name = self._names.get(value.untyped_storage().data_ptr())
                if name is not None:
                    raise InputError(
                        f"the forward pass of a copy of the model reads {name!r} of the model itself, through a lambda"
                        " or another closure, which no copy takes along; make it a method, or a module of its own"
                    )
        return func(*args, **(kwargs or {}))


def _require_module(model: Any) -> None:
    if isinstance(model, type):
        raise InputError(f"the model is the class {model.__name__}; give an instance of it, {model.__name__}(…)")
    if not isinstance(model, nn.Module):
        raise InputError(f"the model is a {type(model).__name__}, not a torch.nn.Module; wrap what it does in one")


def _wrapped(module: nn.Module) -> nn.Module | None:
    """The module inside one that only says how it runs."""
    name = None
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        name = "module"
    elif type(module).__module__.startswith("torch._dynamo"):  # a part of torch that takes seconds to import
        name = "_orig_mod"
    return None if name is None else module._modules[name]


def require_usable(model: nn.Module) -> None:
    """Raise InputError for a module whose weights are not all here as real numbers, or whose code is not."""
    for name, module in model.named_modules():
        where = f"the layer {name!r}" if name else "the model"
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(f"{where} is compiled by torch.jit; give the module from which it was made")
        if type(module).__module__.startswith("torch.distributed"):
            raise InputError(
                f"{where} is a {type(module).__name__}, which holds a part of the weights; load its full state dict"
                " into the plain module and give that"
            )
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise InputError(f"the parameter {name!r} has no size yet (a lazy layer); run the model on a batch first")
        if parameter.is_complex():
            raise InputError(
                f"the parameter {name!r} is complex, and curvature is that of a function of real numbers; hold it as"
                " real numbers, torch.view_as_real, and make it complex in forward, torch.view_as_complex"
            )
        if parameter.is_meta:
            raise InputError(f"the parameter {name!r} lies on the meta device, without values; load the weights first")
        if type(parameter).__module__.startswith("torch.distributed"):
            raise InputError(
                f"the parameter {name!r} is a {type(parameter).__name__}, a part of which lies elsewhere; load the full"
                " state dict into the plain module and give that"
            )


def _precision(model: nn.Module, dtype: torch.dtype | None) -> torch.dtype:
    there = [p.dtype for p in model.parameters() if p.is_floating_point()]
    if not there:
        raise InputError("the model has no parameters, so there is nothing to differentiate; give a model with some")
    found = dtype or (torch.float64 if torch.float64 in there else there[0])  # of two, the one that rounds neither
    if found not in COMPLEX:
        raise InputError(f"dtype {found} is not supported; choose torch.float32 or torch.float64")
    return found


def _tensors_with_history(model: nn.Module) -> Iterator[Tensor]:
    """Results of an earlier forward pass that modules hold: weights made by hooks, activations that were kept."""
    waiting: list[Any] = [vars(module) for module in model.modules()]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor) and value.grad_fn is not None:
            yield value
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
