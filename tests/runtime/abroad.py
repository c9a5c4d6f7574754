"""Programs of a stranger, each run in a process of its own with an environment of its own; they print one JSON."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.processes import descendants

NETS = ("tcp", "tcp6")
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def listeners():
    """Addresses (hexadecimal) of all TCP sockets that this process and all it started listen on, by process."""
    by_inode = {}
    for pid in {os.getpid()} | descendants(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    target = str(entry.readlink())
                    if target.startswith("socket:["):
                        by_inode[target[8:-1]] = pid
    found = []
    for net in NETS:
        for line in Path(f"/proc/net/{net}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in by_inode:
                found.append(fields[1])
    return sorted(found)


def left():
    """Processes and listening sockets that are there after some seconds of patience."""
    deadline = time.monotonic() + 10
    while (descendants(os.getpid()) or listeners()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [len(descendants(os.getpid())), listeners()]


def objective():
    import torch

    from distlandscape.models import build_model
    from distlandscape.objective import Objective

    torch.manual_seed(0)
    return Objective(
        build_model("mlp", (1, 4, 4), 3, {"hidden": [4]}, seed=0), (torch.randn(40, 1, 4, 4), torch.arange(40) % 3)
    )


def measured(pool):
    """Whether the eigenvalue found by the pool is the one found in this process: each is at most its residual away."""
    import distlandscape as dl
    from distlandscape.runtime import LocalRunner

    problem, here = objective(), LocalRunner(threads=1)
    ours, theirs = (dl.top_eigenpairs(dl.Hessian(problem, runner), k=1) for runner in (here, pool))
    return bool(abs(ours.eigenvalues - theirs.eigenvalues) <= ours.residuals + theirs.residuals)


def local(*transports):
    """A pool from start to end, and others beside it: sockets while they are there, what is changed and left then."""
    from distlandscape.runtime import Pool

    environment, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    with Pool(1, 0.5, threads=1) as pool:
        right, sockets, processes = measured(pool), listeners(), len(descendants(os.getpid()))
        for transport in transports:
            with Pool(2, 0.25, threads=1, transport=transport) as others:
                right = right and measured(others)
                sockets += listeners()
        threads = pool.map_tasks(threads_of, [0])
        node = pool.map_tasks(folder_of, [0])[0]
        mode = stat.S_IMODE(Path(node).parents[1].stat().st_mode)
    changed = {k for k in environment.keys() | os.environ.keys() if environment.get(k) != os.environ.get(k)}
    return {
        "right": right,
        "sockets": sockets,
        "processes": processes,
        "threads": threads,
        "folder": node,
        "mode": mode,
        "left": left(),
        "changed": sorted(changed - {"RAY_CLIENT_MODE"}),
        "handler": signal.getsignal(signal.SIGTERM) is handler,
    }


def threads_of(_):
    import torch

    return torch.get_num_threads()


def folder_of(_):
    import ray

    return ray._private.worker._global_node.get_session_dir_path()


def alone():
    """As ``local``, with vectors shared by a group, too; the first attempt to start Ray fails, with half of it up."""
    from ray._private.node import Node

    start, begun = Node.start_ray_processes, []

    def fail_once(node):
        begun.append([each.process.pid for processes in node.all_processes.values() for each in processes])
        if len(begun) == 1:
            raise RuntimeError("the machine is busy")
        start(node)

    Node.start_ray_processes = fail_once
    found = local("collective")
    return {**found, "begun": len(begun[0]), "alive": [pid for pid in begun[0] if Path(f"/proc/{pid}").exists()]}


def own():
    """The user's own Ray: too small for what is asked, with a GPU that torch has not, busy, and large enough.

    It is usable after each.
    """
    os.environ[LOOPBACK] = "0"
    import ray

    from distlandscape.errors import InputError, WorkerFailure
    from distlandscape.runtime import Pool, crew

    ray.init(address="local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
    found = {}
    try:
        Pool(1, 0.5, 1).__enter__()
    except InputError as error:
        found["gpu"] = str(error)
    for transport in ("store", "collective"):
        began = time.monotonic()
        try:
            Pool(2, transport=transport).__enter__()
        except InputError as error:
            found[transport] = [str(error), time.monotonic() - began]
    patience, told = crew.START_SECONDS, []
    crew.NOTICE_SECONDS, crew.START_SECONDS = 0.2, 0.6
    busy = ray.remote(num_cpus=1)(Busy).remote()
    ray.get(busy.here.remote())
    for transport in ("store", "collective"):
        try:
            Pool(1, transport=transport, on_event=told.append).__enter__()
        except WorkerFailure as error:
            told.append(str(error))
    ray.kill(busy)
    crew.START_SECONDS = patience
    with Pool(2, 0.5, threads=1, on_event=told.append) as pool:
        found["right"] = measured(pool)
    found |= {"told": told, "still": ray.is_initialized() and ray.get(ray.put(3)) == 3, "others": others(ray)}
    ray.shutdown()
    return found


class Busy:
    def here(self):
        return True


def others(ray):
    """What programs of another environment do beside this Ray; argument: how many of the ways."""
    address, found = ray.get_runtime_context().gcs_address, {}
    ways = {
        "wrong token": ("check", {"RAY_ADDRESS": address, "RAY_AUTH_TOKEN": "0" * 64}),
        "no token": ("check", {"RAY_ADDRESS": address, "RAY_AUTH_MODE": None}),
        "address": ("local", {"RAY_ADDRESS": address}),
        "auto": ("local", {"RAY_ADDRESS": "auto", "RAY_AUTH_MODE": None}),
    }
    for way in sys.argv[2:]:
        name, changes = ways[way]
        environment = {k: v for k, v in {**os.environ, LOOPBACK: None, **changes}.items() if v is not None}
        command = [sys.executable, "-m", "tests.runtime.abroad", name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
        found[way] = json.loads(done.stdout) if done.stdout else done.stderr
    return found


def check():
    """What is said of the environment, and in how many seconds."""
    from distlandscape.errors import InputError
    from distlandscape.runtime import session

    began, environment = time.monotonic(), dict(os.environ)
    try:
        session.check()
    except InputError as error:
        return {"said": str(error), "seconds": time.monotonic() - began, "kept": environment == dict(os.environ)}
    return {"said": ""}


def thread():
    """As ``local``, in a thread that is not the main one."""
    found = {}
    worker = threading.Thread(target=lambda: found.update(local()))
    worker.start()
    worker.join()
    return found


def struck():
    """A pool that is there until somebody ends this process by SIGTERM, for which Python has no handler here."""
    from distlandscape.runtime import Pool

    with Pool(1, 0.5, threads=1):
        print(json.dumps(sorted(descendants(os.getpid()))), flush=True)
        time.sleep(60)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]]()))
