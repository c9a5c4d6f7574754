"""Block functions that misbehave; workers import them by name."""

import os
import signal
from pathlib import Path
from unittest import mock

import torch

from distlandscape.runtime import device, worker


def count_samples(objective, batch):
    return (torch.tensor([float(len(batch.x))]),)


def die_of_the_second_block(objective, batch):
    if batch.first == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return (torch.tensor([1.0]),)


def too_much_at_once(objective, batch):
    """As if more than six samples did not fit into memory."""
    if len(batch.x) > 6:
        raise MemoryError
    return (torch.tensor([float(len(batch.x))]),)


def never_enough(objective, batch):
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 EB")


def column_sums(objective, batch):
    return (batch.x.sum(0).reshape(-1),)


def refuse(objective, batch):
    raise ArithmeticError("this block function refuses")


def refuse_late_blocks(objective, batch, V_KP):
    if batch.first > 50:
        raise ArithmeticError("late blocks are refused")
    return (torch.zeros(V_KP.shape),)


def die_of_late_blocks(objective, batch, V_KP):
    if batch.first > 40 and batch.first < 60:
        os.kill(os.getpid(), signal.SIGKILL)
    return (torch.zeros(V_KP.shape),)


def square(item):
    return item * item


def pid_of(item):
    return os.getpid()


def die_at_three(item):
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def refuse_three(item):
    if item == 3:
        raise ArithmeticError("three is refused")
    return item


def device_beside_a_gpu(item):
    """Where a worker would compute if torch saw a GPU."""
    with mock.patch.object(torch.cuda, "is_available", return_value=True):
        return device.default_device().type


def fault_once(objective, batch, V_KP, flag):
    """The first call on any worker meets a fault of its GPU, from which that process does not recover."""
    try:
        Path(flag).touch(exist_ok=False)
    except FileExistsError:
        return (V_KP * len(batch.x),)
    worker.is_lost = lambda device: True
    raise RuntimeError("CUDA error: device-side assert triggered")
