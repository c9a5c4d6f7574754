"""Block functions that misbehave on request; workers import them by name."""

import os
import signal
from pathlib import Path

import torch


def count_samples(objective, x, y):
    return (torch.tensor([float(len(x))]),)


def die_once(objective, x, y, flag):
    """The first worker to come by kills itself in the middle of its share."""
    if _first(flag):
        os.kill(os.getpid(), signal.SIGKILL)
    return (x.sum(0).reshape(-1),)


def hang_once(objective, x, y, flag):
    """The first worker to come by stops, as a process that swaps or waits for a device does."""
    if _first(flag):
        os.kill(os.getpid(), signal.SIGSTOP)
    return (x.sum(0).reshape(-1),)


def always_die(objective, x, y):
    os.kill(os.getpid(), signal.SIGKILL)


def column_sums(objective, x, y):
    return (x.sum(0).reshape(-1),)


def refuse(objective, x, y):
    raise ArithmeticError("this block function refuses")


def _first(flag):
    try:
        Path(flag).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
