"""Errors cross from workers to the driver: each survives it, with its type, its words and what it carries."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
from ray import cloudpickle

import distlandscape
from distlandscape.errors import GenerationLost, OutOfMemory, WriteFailed
from distlandscape.runtime.classes import ClassesTooSmall
from distlandscape.runtime.shards import Retry

ARGUMENTS = {
    WriteFailed: (28, "No space left on device", "/a/file"),
    ClassesTooSmall: (np.array([3, 1, 0]),),
    GenerationLost: ("a worker is gone", False),
    OutOfMemory: (3,),
    Retry: (1, 8),
}


def exceptions():
    modules = pkgutil.walk_packages(distlandscape.__path__, "distlandscape.")
    found = set()
    for name in (module.name for module in modules if not module.name.endswith("__main__")):
        objects = vars(importlib.import_module(name)).values()
        found |= {o for o in objects if isinstance(o, type) and issubclass(o, BaseException) and o.__module__ == name}
    return sorted(found, key=lambda kind: kind.__qualname__)


def test_every_error_survives_being_sent():
    kinds = exceptions()
    assert {*ARGUMENTS} < {*kinds}
    assert len(kinds) >= 12
    for kind in kinds:
        error = kind(*ARGUMENTS.get(kind, ("what was wrong; what to do",)))
        sent = cloudpickle.loads(cloudpickle.dumps(error))
        assert type(sent) is kind
        assert str(sent) == str(error)
        np.testing.assert_equal(vars(sent), vars(error))
