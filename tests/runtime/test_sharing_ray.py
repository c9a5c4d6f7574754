"""Who ends this process's Ray, and when: pools in threads or within each other, a Ray that is gone; none starts."""

import contextlib
import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import ray

import distlandscape as dl
from distlandscape.errors import InputError
from distlandscape.runtime import Hessian, Pool, session
from tests.runtime import block_functions


class Pretended:
    """Ray's own calls, and what they were."""

    def __init__(self):
        self.up, self.calls = False, []

    def init(self, **options):
        assert not self.up, "Ray refuses a second init"
        time.sleep(0.05)  # another thread looks meanwhile
        self.up = True
        self.calls.append("init")
        os.environ["RAY_CLIENT_MODE"] = "0"  # as Ray does

    def shutdown(self):
        self.up = False
        self.calls.append("shutdown")

    def kill(self, actor):
        assert self.up, "Ray would start one by itself"
        self.calls.append(f"kill {actor}")


@pytest.fixture
def pretended(monkeypatch):
    pretended = Pretended()
    for name in ("init", "shutdown", "kill"):
        monkeypatch.setattr(ray, name, getattr(pretended, name))
    monkeypatch.setattr(ray, "is_initialized", lambda: pretended.up)
    monkeypatch.setattr(session, "_users", 0)
    monkeypatch.setattr(session, "_until_disconnect", contextlib.ExitStack())
    for name in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_CLIENT_MODE"):
        monkeypatch.delenv(name, raising=False)
    return pretended


@pytest.fixture
def entered(pretended, monkeypatch):
    """A pool as it is inside of its block, with one worker."""
    pool = Pool(1)

    def start():
        pool._crew.members = [SimpleNamespace(actor="worker", device="cpu")]

    monkeypatch.setattr(pool._crew, "start", start)
    return pool.__enter__()


def test_threads_share_one_ray_until_the_last_leaves(pretended):
    """In whichever order they leave, and with the environment put back by the last."""
    before, meet, seen = dict(os.environ), threading.Barrier(2, timeout=10), []

    def use(last):
        meet.wait()
        seen.append(session.connect(1))
        meet.wait()
        if last:
            meet.wait()
            seen.append((pretended.up, os.environ.get("RAY_CLIENT_MODE")))
        session.disconnect()
        if not last:
            meet.wait()

    threads = [threading.Thread(target=use, args=(last,)) for last in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True, True, (True, "0")]
    assert pretended.calls == ["init", "shutdown"]
    assert dict(os.environ) == before


def test_a_ray_of_the_user_is_left_as_it_is(pretended):
    pretended.up = True
    assert not session.connect(1)
    assert pretended.calls == []


def test_the_environment_is_put_back_where_ray_does_not_end_well(pretended, monkeypatch):
    before = dict(os.environ)
    session.connect(1)
    monkeypatch.setattr(ray, "shutdown", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        session.disconnect()
    assert dict(os.environ) == before


@pytest.mark.parametrize("part", ["crew", "collective"])
def test_a_pool_leaves_ray_whatever_goes_wrong_before(part, entered, pretended, monkeypatch):
    entered._collective = SimpleNamespace(close=lambda: pretended.calls.append("closed"))
    monkeypatch.setattr(getattr(entered, f"_{part}"), "close", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        entered.__exit__(None, None, None)
    assert pretended.calls == ["init", "closed" if part == "crew" else "kill worker", "shutdown"]


def test_a_pool_within_itself_is_refused_and_goes_on(entered, pretended):
    with pytest.raises(InputError, match="this Pool is entered already"):
        entered.__enter__()
    assert len(entered._crew.members) == 1
    entered.__exit__(None, None, None)
    assert pretended.calls == ["init", "kill worker", "shutdown"]


ENTRIES = {
    "apply": lambda pool, objective: Hessian(objective, pool).apply(np.ones((1, objective.parameters))),
    "trace": lambda pool, objective: dl.trace(Hessian(objective, pool)),
    "tasks": lambda pool, objective: pool.map_tasks(block_functions.square, [1]),
    "renewal": lambda pool, objective: pool.renewal,
    "ship": lambda pool, objective: pool._ship(objective),  # what a sharded space does, long after the space was made
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_pool_whose_ray_was_shut_down_starts_none(entry, entered, pretended, objective, monkeypatch):
    """Ray would start one by itself at the first object put or actor killed, open to the network."""
    monkeypatch.setattr(ray, "put", None)
    ray.shutdown()
    with pytest.raises(InputError, match="no workers any more, as Ray was shut down inside of its block; leave"):
        ENTRIES[entry](entered, objective)
    entered.__exit__(None, None, None)
    assert pretended.calls == ["init", "shutdown", "shutdown"]
