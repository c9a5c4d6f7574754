"""A device that says it is cuda:0, on a torch without CUDA: its numbers are real, and what CUDA forbids raises.

A tensor on it is a subclass that keeps its data in a tensor of the CPU, so that the kernels, and with them the bits,
are those of the CPU. Operations that mix devices raise, as ``numpy()`` does, and BatchNorm's backward without
statistics. What happens inside a kernel of CUDA cannot be seen here.
"""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
ROOM = (60 << 30, 80 << 30)  # bytes that are free, and all
GUARDS = "_ZN3c104impl26device_guard_impl_registryE"  # where a build with CUDA registers who switches devices
CUDA_PLACE, META_PLACE = 1, 14  # in that table


class DeviceTensor(torch.Tensor):
    """A tensor of the pretended device; ``held`` is its data."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        shell = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device="meta")
        tensor = torch.Tensor._make_subclass(cls, shell, False)
        tensor.held = held
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return call(function, args, kwargs or {}, [])

    def __deepcopy__(self, memo):
        copied = DeviceTensor(self.held.clone()).requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied._is_param = True
        memo[id(self)] = copied
        return copied

    @property
    def device(self):
        return CUDA

    @property
    def is_cuda(self):
        return True

    def data_ptr(self):
        return self.held.data_ptr()

    def tolist(self):
        return self.held.tolist()


class Pretended(TorchDispatchMode):
    """Within it tensors can be made on, and moved to, "cuda"; every thread enters one of its own.

    Attributes:
        copies: of every copy between host and device: "to device" or "to host", and its bytes.
    """

    def __init__(self):
        super().__init__()
        self.copies = []

    def __enter__(self):
        self._lifts = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor would fill memory of the device otherwise
        return super().__enter__()

    def __exit__(self, *error):
        torch._C._set_only_lift_cpu_tensors(self._lifts)
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return call(function, args, kwargs or {}, self.copies)


def why_not():
    """Why the device cannot be pretended here; empty if it can."""
    if torch.version.cuda or torch.version.hip:
        return "this torch is built for GPUs, of which none may be pretended"
    try:
        _guards()
    except (OSError, ValueError) as error:
        return f"this torch does not show its device guards ({error})"
    return ""


@contextlib.contextmanager
def pretended():
    """This process has a GPU; yields the mode of this thread."""
    guards = _guards()
    before = guards[CUDA_PLACE]
    with contextlib.ExitStack() as stack:
        for name, value in {
            "_lazy_init": None,
            "is_available": True,
            "device_count": 1,
            "current_device": 0,
            "mem_get_info": ROOM,
            "synchronize": None,
        }.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, return_value=value))
        stack.callback(guards.__setitem__, CUDA_PLACE, before)
        guards[CUDA_PLACE] = guards[META_PLACE]  # it switches nothing
        yield stack.enter_context(Pretended())


def _guards():
    library = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("libc10.*"), "libc10")))
    return (ctypes.c_void_p * (META_PLACE + 1)).in_dll(library, GUARDS)


def call(function, args, kwargs, copies):
    """An operation on tensors of the host, of the device, or of both where CUDA allows it."""
    if function is torch.ops.prim.device.default:
        return CUDA
    name = function._schema.name.removeprefix("aten::")
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [t for t in tensors if isinstance(t, DeviceTensor)]
    here = [t for t in tensors if not isinstance(t, DeviceTensor) and t.device == CPU]
    asked = kwargs.get("device")
    on_device = bool(there) if asked is None else torch.device(asked).type in ("cuda", "meta")
    if name == "_to_copy":
        if there and on_device and _stays(there[0], kwargs):
            return DeviceTensor(there[0].held)  # "cuda" is cuda:0, where it is
        if bool(there) != on_device:
            copies.append(_copied("to device" if on_device else "to host", tensors[0], kwargs))
    elif name == "copy_":
        if isinstance(args[0], DeviceTensor) != isinstance(args[1], DeviceTensor):
            copies.append(_copied("to device" if isinstance(args[0], DeviceTensor) else "to host", args[0], {}))
    elif there and here:
        _require_one_device(name, args, here)
    if there and name == "native_batch_norm_backward" and (args[5] is None or args[6] is None):
        raise RuntimeError("save_mean should always be defined")
    known = {id(t.held): t for t in reversed(there)}
    held_args, held_kwargs = tree_map(_held, (args, kwargs))
    if on_device and asked is not None:
        held_kwargs["device"] = CPU
    with _disable_current_modes():
        result = function(*held_args, **held_kwargs)

    def back(value):
        if not isinstance(value, torch.Tensor) or not on_device or any(value is t for t in here):
            return value
        if id(value) in known:  # an operation in place
            return known[id(value)]
        return DeviceTensor(torch.zeros(value.shape, dtype=value.dtype) if value._is_zerotensor() else value)

    return tree_map(back, result)


def _stays(tensor, kwargs):
    same_type = kwargs.get("dtype") in (None, tensor.dtype)
    return same_type and kwargs.get("memory_format") in (None, torch.preserve_format)


def _copied(direction, tensor, kwargs):
    return direction, tensor.numel() * (kwargs.get("dtype") or tensor.dtype).itemsize


def _require_one_device(name, args, here):
    """Numbers of the host may take part, and its indices where what they point into is on the device."""
    arrays = [t for t in here if t.ndim]
    if name.startswith(("index", "_index_put")) and isinstance(args[0], DeviceTensor):
        arrays = []
    if arrays or name in ("stack", "cat"):
        raise RuntimeError(f"Expected all tensors to be on the same device, but got cuda:0 and cpu in {name}")


def _held(value):
    if isinstance(value, DeviceTensor):
        return value.held
    if isinstance(value, torch.Tensor) and value.device.type == "meta":
        assert value._is_zerotensor(), "a tensor without data"
        return torch.zeros(value.shape, dtype=value.dtype)
    return value
