"""Weights files: safetensors, or a plain PyTorch state dict; never anything that runs code when it is read."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distlandscape.errors import InputError
from distlandscape.files import write_whole

NESTS = ("state_dict", "model_state_dict", "model")  # where training scripts put the state dict
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
    A state dict inside a checkpoint is found under its usual names, and a prefix that wrappers put before every name
    is dropped. A tied parameter needs to be there under one of its names.

    Raises:
        InputError: missing or damaged file, pickled objects, names or shapes that do not fit, NaN or inf.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"model.weights {file} is not an existing file; give a safetensors file or a state dict")
    state = _unwrapped(_read(file), file)
    own = model.state_dict()
    _share_ties(state, own)
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


def _read(file: Path) -> Any:
    """The content of a safetensors file, or of a torch file that holds nothing but tensors."""
    try:
        return load_file(file)
    except OSError as error:
        raise InputError(f"model.weights {file} cannot be read ({error.strerror}); give a readable file") from error
    except SafetensorError as error:
        if not zipfile.is_zipfile(file):  # torch's older format is a bare pickle, and so is what others pickled
            raise InputError(
                f"model.weights {file} is neither a safetensors file nor a state dict; pickled weights are refused,"
                " convert them with safetensors.torch.save_file"
            ) from error
    try:
        with zipfile.ZipFile(file) as archive:
            inflated = sum(member.file_size for member in archive.infolist())
        if inflated > 2 * file.stat().st_size + 2**20:  # torch stores its archives without compression
            raise InputError(f"model.weights {file} is a compressed archive; save the state dict with torch.save")
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"model.weights {file} holds Python objects beside tensors; pickled weights are refused, save"
            " model.state_dict() alone"
        ) from error
    except InputError:
        raise
    except Exception as error:  # zip, torch and its unpickler each have their own ways to fail on a damaged file
        raise InputError(f"model.weights {file} is damaged or no state dict; save model.state_dict() again") from error


def _unwrapped(content: Any, file: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        nests = [nest for nest in NESTS if isinstance(content.get(nest), Mapping)]
        if not nests:
            break
        content = content[nests[0]]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"model.weights {file} holds no state dict; save model.state_dict()")
    strange = [name for name, value in content.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if strange:
        raise InputError(f"model.weights {file} holds {strange[0]!r} that is no tensor; save model.state_dict() alone")
    state = dict(content)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _share_ties(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Give a missing name the tensor of the name it is tied to; other writers keep one of them only."""
    named = {tensor.data_ptr(): name for name, tensor in own.items() if name in state and tensor.numel()}
    for name, tensor in own.items():
        tied = named.get(tensor.data_ptr())
        if name not in state and tied is not None and own[tied].shape == tensor.shape:
            state[name] = state[tied]
