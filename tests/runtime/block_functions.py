"""Block functions that misbehave on request; workers import them by name."""

import os
import signal
from pathlib import Path

import torch


def count_samples(objective, batch):
    return (torch.tensor([float(len(batch.x))]),)


def die_once(objective, batch, flag):
    """The first worker to come by kills itself in the middle of its share."""
    if _first(flag):
        os.kill(os.getpid(), signal.SIGKILL)
    return (batch.x.sum(0).reshape(-1),)


def hang_once(objective, batch, flag):
    """The first worker to come by stops, as a process that swaps or waits for a device does."""
    if _first(flag):
        os.kill(os.getpid(), signal.SIGSTOP)
    return (batch.x.sum(0).reshape(-1),)


def always_die(objective, batch):
    os.kill(os.getpid(), signal.SIGKILL)


def column_sums(objective, batch):
    return (batch.x.sum(0).reshape(-1),)


def refuse(objective, batch):
    raise ArithmeticError("this block function refuses")


def refuse_late_blocks(objective, batch, V_KP):
    if batch.first > 50:
        raise ArithmeticError("late blocks are refused")
    return (torch.zeros(V_KP.shape),)


def square(item):
    return item * item


def pid_of(item):
    return os.getpid()


def die_once_at_three(task):
    item, flag = task
    if item == 3 and _first(flag):
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * item


def die_at_three(item):
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def refuse_three(item):
    if item == 3:
        raise ArithmeticError("three is refused")
    return item


def _first(flag):
    try:
        Path(flag).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
