"""State dicts out of files: safetensors, or what torch.save wrote; never anything that runs code when it is read."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distlandscape.errors import InputError
from distlandscape.files import open_regular
from distlandscape.models.pickle_sizes import InflatesError, check_pickle
from distlandscape.models.weights_names import listed

NESTS = ("state_dict", "model_state_dict", "model")  # where training scripts put the state dict
DEPTH = 3  # of nested mappings; a pickle can hold one that contains itself
HEADER = 8 * 2**20  # bytes of the header of a safetensors file, a hundred a tensor
OLD_PICKLES = 5  # in files of torch's older format: magic number, version, machine, content, names of the storages
_ENDS = (22, 20, 56)  # bytes of the records at the end of a zip archive: the last, the last but one, the one before
OLD_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")  # near the start of files as torch wrote them before its archives


def read_states(file: Path) -> dict[str, dict[str, Tensor]]:
    """The state dicts of a weights file, on the CPU, by the keys that lead to them: "" where the file is one itself.

    The kind of file is recognised by its content. A state dict is a mapping from names to dense tensors.

    Raises:
        InputError: unreadable or damaged file, pickled objects, no state dict in it, or a file that becomes much larger
            when it is read.
    """
    content = _content(file)
    found: dict[str, Mapping[str, Tensor]] = {}
    _collect(content, "", DEPTH, found, set())
    if not found:
        raise InputError(f"model.weights {file} {_why_none(content)}")
    return {key: dict(state) for key, state in found.items()}


def _collect(content: Any, key: str, depth: int, found: dict[str, Mapping[str, Tensor]], seen: set[int]) -> None:
    """State dicts in nested mappings; what stands under keys that are no names, as an optimizer's does, is left out."""
    if not isinstance(content, Mapping) or not content or id(content) in seen:
        return
    seen.add(id(content))
    if all(isinstance(name, str) and is_dense(value) for name, value in content.items()):
        found[key] = content
    elif depth:
        for name, value in content.items():
            if isinstance(name, str):
                _collect(value, f"{key}.{name}" if key else name, depth - 1, found, seen)


def _why_none(content: Any) -> str:
    """What stands in the way, in the mapping that a training script would put the weights into."""
    for _ in range(DEPTH):
        if isinstance(content, Mapping):
            content = next((content[nest] for nest in NESTS if isinstance(content.get(nest), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        return "holds no state dict; save model.state_dict()"
    bad = [name for name, value in content.items() if not isinstance(name, str) or not is_dense(value)]
    return f"holds {listed(map(repr, bad))}, which is no dense tensor; save model.state_dict() alone"


def _content(file: Path) -> Any:
    try:
        _require_short_header(file)
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
        _require_plain(file)
        with open_regular(file) as opened:  # a path would let torch go by the name
            return torch.load(opened, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except InflatesError as error:
        raise InputError(
            f"model.weights {file} would take much more memory than it has bytes ({error}); save model.state_dict()"
            " alone"
        ) from error
    except pickle.UnpicklingError as error:
        names = _objects(file)
        told, remedy = f" ({listed(names)})" if names else "", "save model.state_dict() alone"
        if any(name.startswith("numpy.") for name in names):
            remedy += ", with tensors (torch.from_numpy) for numpy's arrays and plain numbers for its scalars"
        raise InputError(
            f"model.weights {file} holds Python objects beside tensors{told}; pickled weights are refused, {remedy}"
        ) from error
    except Exception as error:  # zip, torch and its unpickler each have their own ways to fail on a damaged file
        raise InputError(f"model.weights {file} is damaged or no state dict; save model.state_dict() again") from error


def _objects(file: Path) -> list[str]:
    """Names of the Python objects in an archive, of which nothing is run; none where it does not tell."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except (ValueError, RuntimeError, pickle.UnpicklingError):  # torch's older format, and damaged pickles
        return []


def _is_archive(file: Path) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # an archive, and a damaged one
        return True


def _is_old(file: Path) -> bool:
    with open_regular(file) as opened:
        return OLD_MAGIC in opened.read(32)


def _require_short_header(file: Path) -> None:
    with open_regular(file) as opened:
        length, start = int.from_bytes(opened.read(8), "little"), opened.read(1)
    if start == b"{" and HEADER < length <= file.stat().st_size:
        raise InputError(
            f"model.weights {file} has a header of {length:,} bytes, and headers have {HEADER:,} at most; save"
            " model.state_dict() alone"
        )


def _require_plain(file: Path) -> None:
    """Raise where what torch.save wrote would grow when it is read: it packs nothing, and pickles tensors and names."""
    with open_regular(file) as opened:
        if _is_old(file):
            for _ in range(OLD_PICKLES):
                check_pickle(opened)
            return
        with zipfile.ZipFile(opened) as archive:
            members = archive.infolist()
            _require_one_directory(file, archive)
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            if not stored or sum(member.file_size for member in members) > file.stat().st_size:
                raise InputError(f"model.weights {file} is a compressed archive; save the state dict with torch.save")
            for member in members:
                if "data.pkl" in member.filename.lower():  # torch looks for it in any case
                    check_pickle(archive.read(member))


def _require_one_directory(file: Path, archive: zipfile.ZipFile) -> None:
    """Raise where zipfile may list other members than torch would read.

    Torch goes by the place of the directory that the archive names, zipfile by what stands before the archive's end.
    """
    size = file.stat().st_size
    places: list[int] = []
    with open_regular(file) as opened:
        opened.seek(-min(sum(_ENDS), size), os.SEEK_END)
        tail = opened.read()
    end, locator, large = (tail[max(0, len(tail) - sum(_ENDS[:n])) :][: _ENDS[n - 1]] for n in (1, 2, 3))
    if end[:4] == b"PK\5\6":
        places += struct.unpack_from("<L", end, 16)
    if locator[:4] == b"PK\6\7":  # of a large archive, with the places of two more records
        places = [place for place in places if place != 0xFFFFFFFF]
        places += [archive.start_dir + struct.unpack_from("<Q", locator, 8)[0] - (size - sum(_ENDS))]
        places += struct.unpack_from("<Q", large, 48)
    if not places or set(places) != {archive.start_dir}:
        raise zipfile.BadZipFile("its directory is not where it says")


def is_dense(value: Any) -> bool:
    """Whether a value is a tensor of ordinary numbers in memory."""
    if not isinstance(value, Tensor) or value.is_nested or value.is_quantized:
        return False
    return value.layout == torch.strided and not value.is_meta
