"""Weights of a model: write them, read them back where they fit exactly, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from distlandscape.errors import InputError
from distlandscape.files import write_whole
from distlandscape.models.weights_file import is_dense, read_states
from distlandscape.models.weights_names import Match, match, place


def save_weights(model: nn.Module, path: Path) -> str:
    """Write parameters and buffers as safetensors, whole or not at all; returns the file's sha256.

    Raises:
        WriteFailed: the disk is full or refuses.
    """
    # Cloned, because safetensors refuses tensors that share memory, as tied weights do.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    return write_whole(path, lambda temporary: save_file(state, temporary))


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Read weights into ``model``, whose names and shapes must match exactly.

    Takes safetensors, or what ``torch.save`` wrote of a state dict: read with ``weights_only``, recognised by content.
    A state dict inside a checkpoint is found under whatever key it has, where only one fits the model. What wrappers
    and modules around the model put into its names is seen through (see ``weights_names``), and the counter of an
    AveragedModel is left out. A tied parameter needs to be there under one of its names. Numbers are converted to the
    model's precision.

    Raises:
        InputError: missing or damaged file, pickled objects, names or shapes that do not fit, several state dicts that
            do, NaN or inf.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"model.weights {file} is not an existing file; give a safetensors file or a state dict")
    own = _tensors(model)
    state = _only_fit(file, {key: match(state, own) for key, state in read_states(file).items()}, own)
    _fill(model, own, state, f"model.weights {file}")


def take_weights(model: nn.Module, state: Any) -> None:
    """The same with a state dict that is at hand; what it holds beside tensors is the model's own extra state.

    Raises:
        InputError: no state dict, names or shapes that do not fit, NaN or inf.
    """
    if not isinstance(state, Mapping):
        raise InputError(f"the weights are a {type(state).__name__}, not a state dict; give model.state_dict()")
    given = {name: value for name, value in state.items() if not str(name).endswith("_extra_state")}
    for name, value in given.items():
        if not isinstance(name, str) or not is_dense(value):
            raise InputError(f"the weights hold {name!r}, which is no dense tensor under a name; give a state dict")
    own = _tensors(model)
    found = match(given, own)
    if not found.fits(own):
        raise InputError(
            f"the weights do not fit the model: the state dict {found.misfit(own)}; give weights of this very model"
        )
    _fill(model, own, found.state, "the state dict")


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state dict without what modules add to it that is no tensor."""
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def _fill(model: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor], what: str) -> None:
    """Load tensors that fit by name and shape, where their numbers do."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    first: dict[tuple[object, ...], str] = {}
    for name, tensor in own.items():
        _require_numbers(what, name, state[name], tensor, finite=name in parameters)
        twin = first.setdefault(place(tensor), name)
        if twin != name and not torch.equal(state[name].to(tensor.dtype), state[twin].to(tensor.dtype)):
            raise InputError(
                f"{what} holds different values for {twin!r} and {name!r}, which the model ties; give weights of this"
                " very model"
            )
    model.load_state_dict(state, strict=False)  # names were looked at; extra state stays


def weights_sha256(model: nn.Module) -> str:
    """Digest of names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(model).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _only_fit(file: Path, found: Mapping[str, Match], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict that fits the model, by the keys under which a file holds several."""
    good = [key for key, one in found.items() if one.fits(own)]
    if len(good) > 1:
        raise InputError(
            f"model.weights {file} holds weights of this model under {' and '.join(map(repr, good))}; save the one that"
            " is meant alone"
        )
    key = good[0] if good else min(found, key=lambda key: len(found[key].missing))
    one, under = found[key], f" under {key!r}" if key else ""
    if len(one.prefixes) > 1:
        raise InputError(
            f"model.weights {file} holds this model{under} under the prefixes {' and '.join(map(repr, one.prefixes))};"
            " save the one that is meant alone"
        )
    if not good:
        raise InputError(f"model.weights {file}{under} {one.misfit(own)}; give weights of this very model")
    return one.state


def _require_numbers(what: str, name: str, given: Tensor, own: Tensor, finite: bool) -> None:
    kinds = (given.is_floating_point(), given.is_complex()), (own.is_floating_point(), own.is_complex())
    whole = not own.is_floating_point() and given.is_floating_point() and torch.equal(given, given.round())
    if kinds[0] != kinds[1] and not whole:  # a counter may have been averaged with the weights
        raise InputError(
            f"{what}: {name!r} holds {given.dtype}, the model needs {own.dtype}; give weights of this very model"
        )
    numbers = given.to(own.dtype)
    if not (torch.isfinite(numbers) if finite else ~torch.isnan(numbers)).all():  # a mask of −inf may be a buffer
        raise InputError(f"{what}: {name!r} holds NaN or infinite values; give other weights")
