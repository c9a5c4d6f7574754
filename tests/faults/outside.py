"""Faults that end a run: its driver, Ray or disk goes; resumed by another number of workers, it is the same."""

import contextlib
import os
import signal
import subprocess
import time

from distlandscape.report.live.state import Follower
from distlandscape.runtime import pool
from tests.faults import study
from tests.faults.inside import watched
from tests.processes import command_line, descendants
from tests.runtime.faults import arm_worker

RESUMED_BY = {2: 3, 3: 0, 0: 2}  # workers of the run -> of its resume


def end_at(out, commit, transport, act, workers=2, through=None):
    """Run in a process of its own, ``act(process)`` once so much is committed; its folder, exit code and last words."""
    process = study.spawn(out, workers, transport, through=through)
    try:
        run_dir = study.run_dir_of(out)
        study.wait_for_commits(run_dir, commit, lambda: process.poll() is None)
        act(process)
        _, words = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return run_dir, process.returncode, words


def kill(process):
    """As a machine that goes."""
    process.send_signal(signal.SIGKILL)


def terminate(process):
    """As a scheduler that stops a job."""
    process.terminate()


def signalled_after(out, seconds, transport, kind, workers=2):
    """Send a signal so long after the run began; its folder, exit code, last words, and when the signal was sent."""
    process = study.spawn(out, workers, transport)
    try:
        run_dir = study.run_dir_of(out)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        struck = time.time()
        process.send_signal(kind)
        _, words = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return run_dir, process.returncode, words, struck


def lose_gcs(process):
    """The part of the run's own Ray that knows all others is killed."""
    for pid in descendants(process.pid):
        if "gcs_server" in command_line(pid).split(" ")[0]:
            os.kill(pid, signal.SIGKILL)


def stop_for_a_while(run_dir, process, seconds=12.0):
    """Stop the driver, as a shell's Ctrl-Z or a debugger, and let it go on; what others are told meanwhile."""
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    refused, _, words = study.resume_elsewhere(run_dir, 0)
    page = Follower(run_dir).state()["headline"]
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    process.send_signal(signal.SIGCONT)
    return refused, words, page


def lose_head(process):
    """The head of the run's own Ray is killed: nothing of the cluster is left to go on with."""
    for pid in descendants(process.pid):
        if any(name in command_line(pid).split(" ")[0] for name in ("gcs_server", "raylet")):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    process.kill()


def tear(run_dir):
    """The last line of the log was half on disk when the machine went."""
    with (run_dir / "log.jsonl").open("ab") as log:
        log.write(b'{"event": "steps", "time": 17')


def fails_inside(out, transport, number, *fault):
    """A run in this process one of whose workers is armed to fail; the error it ends with."""
    try:
        with watched(lambda made: arm_worker(made, number, *fault)):
            study.start(out, 2, transport)
    except (ArithmeticError, OSError, pool.OutOfMemory, RuntimeError) as error:
        return study.run_dir_of(out), error
    raise AssertionError("the run did not fail")


def resumed_twice_at_once(run_dir):
    """Two resumes of one run: exit codes, and what the one that was refused says."""
    both = [
        subprocess.Popen(
            study.command("resume", run_dir, "--workers", "0", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    words = [process.communicate(timeout=300)[1] for process in both]
    codes = [process.returncode for process in both]
    return codes, words[codes.index(2)] if 2 in codes else ""
