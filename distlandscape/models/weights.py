"""Weights of a model: write them, read them back where they fit exactly, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from distlandscape.errors import InputError
from distlandscape.files import write_whole
from distlandscape.models.weights_file import read_state

PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of compiled models


def save_weights(model: nn.Module, path: Path) -> None:
    """Write parameters and buffers as safetensors, whole or not at all."""
    # Cloned, because safetensors refuses tensors that share memory, as tied weights do.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    write_whole(path, lambda temporary: save_file(state, temporary))


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Read weights into ``model``, whose names and shapes must match exactly.

    Takes safetensors, or what ``torch.save`` wrote of a state dict: read with ``weights_only``, recognised by content.
    A state dict inside a checkpoint is found under its usual names, and prefixes that wrappers put before every name
    are dropped where the model does not have them. A tied parameter needs to be there under one of its names. Numbers
    are converted to the model's precision.

    Raises:
        InputError: missing or damaged file, pickled objects, names or shapes that do not fit, NaN or inf.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"model.weights {file} is not an existing file; give a safetensors file or a state dict")
    own = model.state_dict()
    state = _without_prefixes(read_state(file), own)
    _share_ties(state, own)
    first: dict[tuple[object, ...], str] = {}
    for name, tensor in own.items():
        if name not in state:
            raise InputError(f"model.weights {file} lacks {name!r}; give weights of this very model")
        _require_fit(file, name, state[name], tensor)
        twin = first.setdefault(_place(tensor), name)
        if twin != name and not torch.equal(state[name].to(tensor.dtype), state[twin].to(tensor.dtype)):
            raise InputError(
                f"model.weights {file} holds different values for {twin!r} and {name!r}, which the model ties; give"
                " weights of this very model"
            )
    extra = sorted(set(state) - set(own))
    if extra:
        raise InputError(f"model.weights {file} holds {extra[0]!r}, which the model lacks; give weights of this model")
    model.load_state_dict(state)


def weights_sha256(model: nn.Module) -> str:
    """Digest of names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _without_prefixes(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A model may have such names itself, so nothing is dropped once a name is known.
    while own.keys().isdisjoint(state):
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _share_ties(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Give a missing name the tensor of the name it is tied to; other writers keep one of them only."""
    present = {_place(tensor): name for name, tensor in own.items() if name in state}
    for name, tensor in own.items():
        tied = present.get(_place(tensor))
        if name not in state and tied is not None and tensor.numel():  # empty tensors all lie at 0
            state[name] = state[tied]


def _place(tensor: Tensor) -> tuple[object, ...]:
    """The same for two names of one parameter."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _require_fit(file: Path, name: str, given: Tensor, own: Tensor) -> None:
    if given.shape != own.shape:
        raise InputError(
            f"model.weights {file}: {name!r} has shape {tuple(given.shape)}, the model needs {tuple(own.shape)};"
            " give weights of this very model"
        )
    if (given.is_floating_point(), given.is_complex()) != (own.is_floating_point(), own.is_complex()):
        raise InputError(
            f"model.weights {file}: {name!r} holds {given.dtype}, the model needs {own.dtype}; give weights of this"
            " very model"
        )
    if not torch.isfinite(given.to(own.dtype)).all():
        raise InputError(f"model.weights {file}: {name!r} holds NaN or infinite values; give other weights")
