"""``up`` and ``down``: start a Ray head and a tracking server on this machine, and end exactly what was started."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from distlandscape.errors import InputError
from distlandscape.ray_folder import PREFIX, make_ray_folder
from distlandscape.service.processes import STAMP, Process, end, is_loopback, listening, with_variable
from distlandscape.service.programs import STOP_SECONDS, Program, environment_for, ray_head, tracking_server
from distlandscape.service.state import Services, State

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for a job's own process and for none of its own
END_SECONDS = 30.0

Programs = Callable[[State, Path], dict[str, Program]]


def up(
    state: State,
    cpus: int | None = None,
    gpus: int | None = None,
    programs: Programs | None = None,
    seconds: float = 120.0,
) -> tuple[Services, bool]:
    """Start both services and wait until they answer; False where they run already.

    What an earlier ``up`` recorded and lost is ended first, and nothing else.

    Raises:
        InputError: the state folder cannot be used, or another ``up`` is under way.
        RuntimeError: a service ended, did not answer, or listens beyond this machine; then none is left.
    """
    with state.exclusive():
        before = state.read()
        if before is not None:
            if before.processes and set(before.alive) == set(before.processes):
                return before, False
            clear(state, before)
        state.make_token()
        stamp, temp = secrets.token_hex(8), make_ray_folder()
        wanted = (programs or _both(cpus, gpus))(state, temp)
        services = Services(stamp, {}, wanted["ray"].address, wanted["mlflow"].address, wanted["ray"].gcs, str(temp))
        state.write(services)  # first, so that whatever comes to life can be found again
        try:
            children = {name: _start(state, name, program, stamp) for name, program in wanted.items()}
            found = {name: Process.of(child.pid) for name, child in children.items()}
            running = {name: process for name, process in found.items() if process is not None}
            services = Services(stamp, running, services.ray, services.mlflow, services.gcs, services.temp)
            state.write(services)
            _wait(state, wanted, children, seconds)
            _check_sockets(services)
        except BaseException:
            clear(state, services)
            raise
        return services, True


def down(state: State) -> list[str]:
    """End what ``up`` started, jobs first, which get the time to write what they have; returns what ran.

    Raises:
        InputError: nothing is up.
    """
    if not state.record.exists():
        raise InputError(f"nothing is up (no record in {state.folder}); start with: distlandscape up")
    with state.exclusive():
        services = state.read()
        if services is None:
            raise InputError(
                f"the record {state.record} cannot be read, so nobody knows what to end; end the processes yourself and"
                " remove the file"
            )
        ran = services.alive
        clear(state, services)
        return ran


def clear(state: State, services: Services) -> None:
    """End all living processes of some services and forget them.

    Raises:
        RuntimeError: a process survived even SIGKILL.
    """
    end(with_variable(services.everything(), JOB_VARIABLE), STOP_SECONDS)
    left: list[Process] = []
    for _ in range(3):  # what was started while the others ended
        left = end(services.everything(), END_SECONDS)
        if not services.everything():
            break
    if left:
        raise RuntimeError(f"processes {', '.join(str(process.pid) for process in left)} could not be ended")
    if Path(services.temp).name.startswith(PREFIX):
        shutil.rmtree(services.temp, ignore_errors=True)
    state.forget()


def _both(cpus: int | None, gpus: int | None) -> Programs:
    def both(state: State, temp: Path) -> dict[str, Program]:
        mlflow = tracking_server(state)
        return {"ray": ray_head(state, temp, cpus, gpus, mlflow.address), "mlflow": mlflow}

    return both


def _start(state: State, name: str, program: Program, stamp: str) -> subprocess.Popen[bytes]:
    with (state.logs / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            program.command,
            cwd=state.folder,
            env=environment_for(program, {STAMP: stamp}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for them
            umask=0o077,
        )


def _wait(
    state: State, programs: dict[str, Program], children: dict[str, subprocess.Popen[bytes]], seconds: float
) -> None:
    deadline, waiting = time.monotonic() + seconds, dict(programs)
    while True:
        for name, child in children.items():  # those, too, that answered and ended while others were waited for
            code = child.poll()
            if code is not None:
                raise RuntimeError(f"{name} ended with code {code} instead of answering; see {state.logs / name}.log")
        if not waiting:
            return
        waiting = {name: program for name, program in waiting.items() if not program.answers()}
        if waiting and time.monotonic() > deadline:
            names = " and ".join(waiting)
            raise RuntimeError(f"{names} did not answer within {seconds:.0f} s; see the logs in {state.logs}")
        time.sleep(0.2)


def _check_sockets(services: Services) -> None:
    """Ray's switch for loopback is undocumented, so what it did is looked at."""
    open_to_all = [(address, port) for address, port in listening(services.everything()) if not is_loopback(address)]
    if open_to_all:
        where = ", ".join(f"{address}:{port}" for address, port in open_to_all)
        raise RuntimeError(f"a service listens beyond this machine ({where}), so all were ended again")
