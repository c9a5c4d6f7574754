"""A clock that is set back changes neither how a run is nor how long it took."""

import signal
import subprocess
import sys
import time

from distlandscape.record import lease
from distlandscape.record.run import Run


def a_run(out):
    made = Run.create(out, "spectrum", {}, {})
    made.log.append("started", pid=1, workers=0, job=None)
    return made


def test_a_resume_is_running_whatever_the_clock_says(tmp_path, monkeypatch):
    made = a_run(tmp_path)
    assert made.status == "running"
    made.log.append("ended", status="interrupted", detail="")
    assert (made.status, made.resumable) == ("interrupted", True)
    plain = time.time
    monkeypatch.setattr(time, "time", lambda: plain() - 3600.0)
    made.log.append("started", pid=1, workers=0, job=None)
    assert made.status == "running"
    made.log.append("ended", status="done", detail="converged")
    assert made.status == "done"


def test_time_that_went_back_counts_as_nothing(tmp_path, monkeypatch):
    fields = {"begun": {"name": "eigenpairs"}, "ended": {"status": "failed"}}
    clock = iter([100.0, 110.0, 50.0, 65.0, 40.0, 47.0, 49.0])
    made = Run.create(tmp_path, "spectrum", {}, {})
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: next(clock))
        for event in ("started", "begun", "begun", "ended", "started", "begun", "started"):
            made.log.append(event, **fields.get(event, {}))
    assert made.seconds_before() == 10.0 + 15.0 + 7.0


def test_a_stopped_process_is_told_from_one_that_works(tmp_path):
    """It holds its run all the same; who looks on is told how it goes on."""
    made = a_run(tmp_path)
    program = "from pathlib import Path; from distlandscape.record.lease import Lease; import sys, time\n"
    program += "with Lease(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, made.path], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert lease.halted(made.path) is None
        holder.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while lease.halted(made.path) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert lease.halted(made.path) == holder.pid
        assert lease.held(made.path)
        holder.kill()
    assert lease.halted(made.path) is None
