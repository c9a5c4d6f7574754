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
from distlandscape.models.weights_file import read_states
from distlandscape.models.weights_names import Match, match, place


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
    own = model.state_dict()
    state = _only_fit(file, {key: match(state, own) for key, state in read_states(file).items()}, own)
    first: dict[tuple[object, ...], str] = {}
    for name, tensor in own.items():
        _require_numbers(file, name, state[name], tensor)
        twin = first.setdefault(place(tensor), name)
        if twin != name and not torch.equal(state[name].to(tensor.dtype), state[twin].to(tensor.dtype)):
            raise InputError(
                f"model.weights {file} holds different values for {twin!r} and {name!r}, which the model ties; give"
                " weights of this very model"
            )
    model.load_state_dict(state)


def weights_sha256(model: nn.Module) -> str:
    """Digest of names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
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


def _require_numbers(file: Path, name: str, given: Tensor, own: Tensor) -> None:
    if (given.is_floating_point(), given.is_complex()) != (own.is_floating_point(), own.is_complex()):
        raise InputError(
            f"model.weights {file}: {name!r} holds {given.dtype}, the model needs {own.dtype}; give weights of this"
            " very model"
        )
    if not torch.isfinite(given.to(own.dtype)).all():
        raise InputError(f"model.weights {file}: {name!r} holds NaN or infinite values; give other weights")
