"""State dicts out of files: safetensors, or what torch.save wrote; never anything that runs code when it is read."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distlandscape.errors import InputError

NESTS = ("state_dict", "model_state_dict", "model")  # where training scripts put the state dict
DEPTH = 3  # of such nests; a pickle can hold a dict that contains itself
OLD_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")  # near the start of files as torch wrote them before its archives


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU; the kind of file is recognised by its content.

    Raises:
        InputError: unreadable or damaged file, pickled objects, or anything but dense tensors under names.
    """
    content = _content(file)
    for _ in range(DEPTH):
        if not isinstance(content, Mapping):
            break
        content = next((content[nest] for nest in NESTS if isinstance(content.get(nest), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"model.weights {file} holds no state dict; save model.state_dict()")
    for name, value in content.items():
        if not isinstance(name, str) or not _is_dense(value):
            raise InputError(
                f"model.weights {file} holds {name!r}, which is no dense tensor; save model.state_dict() alone"
            )
    return dict(content)


def _content(file: Path) -> Any:
    try:
        return load_file(file)
    except OSError as error:
        raise InputError(f"model.weights {file} cannot be read ({error.strerror}); give a readable file") from error
    except SafetensorError as error:
        if not _is_archive(file) and not _is_old(file):
            raise InputError(
                f"model.weights {file} is neither a safetensors file nor a state dict; pickled weights are refused,"
                " convert them with safetensors.torch.save_file"
            ) from error
    try:
        if not _is_old(file):
            _require_stored(file)
        with file.open("rb") as opened:  # a path would let torch go by the name
            return torch.load(opened, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(
            f"model.weights {file} holds Python objects beside tensors; pickled weights are refused, save"
            " model.state_dict() alone"
        ) from error
    except Exception as error:  # zip, torch and its unpickler each have their own ways to fail on a damaged file
        raise InputError(f"model.weights {file} is damaged or no state dict; save model.state_dict() again") from error


def _is_archive(file: Path) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # an archive, and a damaged one
        return True


def _is_old(file: Path) -> bool:
    with file.open("rb") as opened:
        return OLD_MAGIC in opened.read(32)


def _require_stored(file: Path) -> None:
    """Torch stores its archives without compression, so one that grows when it is read is none of torch's."""
    with zipfile.ZipFile(file) as archive:
        inflated = sum(member.file_size for member in archive.infolist())
    if inflated > 2 * file.stat().st_size + 2**20:
        raise InputError(f"model.weights {file} is a compressed archive; save the state dict with torch.save")


def _is_dense(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.is_nested or value.is_quantized:
        return False
    return value.layout == torch.strided and not value.is_meta
