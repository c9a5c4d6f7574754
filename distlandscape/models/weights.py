"""Weights files: safetensors, never pickle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from distlandscape.errors import InputError
from distlandscape.files import write_whole


def save_weights(model: nn.Module, path: Path) -> None:
    """Write parameters and buffers, whole or not at all."""
    # Cloned, because safetensors refuses tensors that share memory, as tied weights do.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    write_whole(path, lambda temporary: save_file(state, temporary))


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Read a safetensors file into ``model``, whose names and shapes must match exactly.

    Raises:
        InputError: missing file, not safetensors, names or shapes that do not fit, NaN or inf.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"model.weights {file} is not an existing file; give a safetensors file")
    try:
        state = load_file(file)
    except OSError as error:
        raise InputError(f"model.weights {file} cannot be read ({error.strerror}); give a readable file") from error
    except SafetensorError as error:
        raise InputError(
            f"model.weights {file} is not a safetensors file; pickled weights are refused, convert them with"
            " safetensors.torch.save_file"
        ) from error
    own = model.state_dict()
    for name, tensor in own.items():
        if name not in state:
            raise InputError(f"model.weights {file} lacks {name!r}; give weights of this very model")
        if state[name].shape != tensor.shape:
            raise InputError(
                f"model.weights {file}: {name!r} has shape {tuple(state[name].shape)}, the model needs"
                f" {tuple(tensor.shape)}; give weights of this very model"
            )
        if state[name].is_floating_point() != tensor.is_floating_point():
            raise InputError(
                f"model.weights {file}: {name!r} holds {state[name].dtype}, the model needs {tensor.dtype};"
                " give weights of this very model"
            )
        if not torch.isfinite(state[name].to(tensor.dtype)).all():
            raise InputError(f"model.weights {file}: {name!r} holds NaN or infinite values; give other weights")
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
