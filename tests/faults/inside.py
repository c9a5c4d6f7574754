"""Faults that a run survives by itself: workers of a Ray in this process are killed, stopped or made to fail."""

import contextlib
import os
import signal
import threading
import time
from unittest.mock import patch

from distlandscape.runtime import Pool
from distlandscape.studies import execute
from tests.faults import study
from tests.runtime.faults import arm_worker


class Watched(Pool):
    """Remembers the pool a run made, and arms it before the run begins."""

    last = None
    arming = None
    hold = None

    def __enter__(self):
        super().__enter__()
        Watched.last = self
        if Watched.arming is not None:
            Watched.arming(self)
        return self

    @property
    def renewal(self):
        """Asked at every commit; a run can be held there."""
        if Watched.hold is not None:
            Watched.hold.wait()
        return super().renewal


@contextlib.contextmanager
def watched(arming=None):
    """Runs of this process use watched pools."""
    Watched.last, Watched.arming, Watched.hold = None, arming, None
    with patch.object(execute, "Pool", Watched):
        yield


def disturbed(out, transport, workers, saboteur, extra=()):
    """A run beside which ``saboteur(run_dir)`` works in a thread of its own; what that raised is raised."""
    failures = []

    def sabotage():
        try:
            saboteur(study.run_dir_of(out))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=sabotage)
    with watched():
        thread.start()
        outcome = study.start(out, workers, transport, extra)
        thread.join()
    if failures:
        raise failures[0]
    return outcome.run.path


def armed(out, transport, workers, number, *fault):
    """A run one of whose workers has a fault armed in it."""
    with watched(lambda pool: arm_worker(pool, number, *fault)):
        return study.start(out, workers, transport).run.path


def strike_at(commit, kind, number, struck=None):
    """A saboteur: sends a signal to a worker once so much is committed."""

    def saboteur(run_dir):
        study.wait_for_commits(run_dir, commit)
        pids = Watched.last.pids
        pid = pids[number % len(pids)]
        if struck is not None:
            struck.append(time.time())
        os.kill(pid, kind)

    return saboteur


def strike_often(times, between, rng, struck):
    """A saboteur: kills some worker, waits until the run has got on, and again."""

    def saboteur(run_dir):
        for _ in range(times):
            before = study.commits(run_dir)
            study.wait_for_commits(run_dir, before + int(rng.integers(*between)))
            pids = Watched.last.pids
            if not pids:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[int(rng.integers(len(pids)))], signal.SIGKILL)
                struck.append(time.time())

    return saboteur


def recovery(run_dir, struck):
    """Seconds from the strike to the next commit."""
    log = execute.Run.open(run_dir).log
    later = [event["time"] for event in log.events() if event["event"] in ("steps", "stage") and event["time"] > struck]
    return min(later) - struck
