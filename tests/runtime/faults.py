"""Arms a fault inside a living worker: the n-th call of one of its functions kills, stops or fails it."""

import errno
import os
import signal
import time
from pathlib import Path

import ray

from distlandscape.runtime import evaluate, group
from distlandscape.spectral import slices

PLACES = {
    "product": (evaluate.Evaluator, "_block_sum"),
    "exchange": (group.Group, "swap"),
    "writing": (slices, "save_file"),
}


def arm(spec):
    """Runs in the worker, as a task: (place, act, call, flag). ``flag`` is a file: the fault strikes once if given."""
    place, act, call, flag = spec
    owner, name = PLACES[place]
    plain, calls = getattr(owner, name), 0

    def faulty(*args, **options):
        nonlocal calls
        calls += 1
        if calls == call and (flag is None or _first(flag)):
            ACTS[act](*args)
        return plain(*args, **options)

    setattr(owner, name, faulty)
    return os.getpid()


def arm_worker(pool, number, *spec):
    """Arm one worker of a pool."""
    return ray.get(pool._crew.members[number].actor.call.remote(arm, spec))


def _kill(*args):
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(*args):
    os.kill(os.getpid(), signal.SIGSTOP)


def _lack_memory(*args):
    raise evaluate.OutOfMemory(20)


def _fill_disk(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def _fail(*args):
    raise ArithmeticError("armed to fail")


def _pause(*args):
    time.sleep(2)


def _sleep(*args):
    time.sleep(60)


ACTS = {
    "kill": _kill,
    "stop": _stop,
    "memory": _lack_memory,
    "disk": _fill_disk,
    "fail": _fail,
    "pause": _pause,
    "sleep": _sleep,
}


def _first(flag):
    try:
        Path(flag).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
