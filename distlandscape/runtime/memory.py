"""How much memory there is, and giving back what is not used."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # the limit of a container (version 2), where there is one


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on a device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [bytes_left for bytes_left in (_machine(), _container()) if bytes_left is not None]
    return min(free) if free else None


class Trimmer:
    """Gives memory that the C library holds in reserve back to the system, for at most one per cent of the time.

    What a product frees stays with glibc, in pieces that the next one may not fit into: some hundred MB a worker, which
    others on the machine do not have. Elsewhere than with glibc this does nothing.
    """

    SHARE = 0.01

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._trim = getattr(library, "malloc_trim", None)
        self._not_before = 0.0

    def __call__(self) -> None:
        """Trim, unless the last time was not long ago for what it took."""
        began = time.monotonic()
        if self._trim is None or began < self._not_before:
            return
        self._trim(0)
        now = time.monotonic()
        self._not_before = now + (now - began) / self.SHARE


def _machine() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _container() -> int | None:
    try:
        limit = int((GROUP / "memory.max").read_text())  # "max" stands for none
        used = int((GROUP / "memory.current").read_text())
        statistics = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return limit - used + int(statistics.get("inactive_file", 0))  # cached files are given back
