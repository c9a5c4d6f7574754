"""How much memory a pickle of torch.save would take, found by reading it without running it.

torch's restricted unpickler runs no foreign code, but some of the functions it allows make much of little: bytearray
takes a number of bytes, and others copy what the pickle names a second time by a reference of two bytes.
"""

from __future__ import annotations

import pickletools
from typing import IO

from distlandscape.limits import FREE

ITEM = 16  # bytes for each opcode that an object was made by, when it is copied
_GETS = {"BINGET", "LONG_BINGET", "GET"}
_PUTS = {"BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"}
_WHOLE = {"TUPLE1", "REDUCE", "NEWOBJ"}  # a reference before one of these is an argument by itself


class InflatesError(ValueError):
    """Reading a pickle would take much more memory than it has bytes."""


def check_pickle(stream: bytes | IO[bytes]) -> None:
    """Read one pickle up to its end.

    Raises:
        InflatesError: it asks for memory by a number, or copies more than 32 MiB by references.
        ValueError: it is damaged.
    """
    sizes: dict[object, int] = {}  # bytes of text, by its place in the memo; −1 for containers
    copied = made = 0
    reference = size = 0
    for operation, argument, _ in pickletools.genops(stream):
        name, made = operation.name, made + 1
        if name in _PUTS:
            sizes[argument if argument is not None else len(sizes)] = size
            continue
        if name in _WHOLE and reference < 0:
            copied += ITEM * made
        reference = 0
        if name in _GETS:
            size = reference = sizes.get(argument, -1)
            copied += 4 * max(size, 0)
        elif name == "GLOBAL":
            size = 0
            if argument == "builtins bytearray" or argument == "__builtin__ bytearray":
                raise InflatesError("it makes a bytearray")
        else:
            size = len(argument) if isinstance(argument, str | bytes) else -1
        if copied > FREE:
            raise InflatesError("it copies by references")
