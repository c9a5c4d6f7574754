"""``python -m tests.faults``: every fault, both transports, at random moments; Markdown for docs/reliability.md.

``--moments N`` strikes each so often (3), ``--only TEXT`` runs the rows whose name holds it, ``--kills N`` in the soak.
"""

import argparse
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient

from distlandscape.runtime import session
from tests.faults import inside, outside, study

BOTH, SHARDED = ("store", "collective"), ("collective",)


@dataclass
class Bench:
    """What every case needs: a folder of its own, the undisturbed numbers, and dice."""

    root: Path
    database: Path
    rng: np.random.Generator
    reference: object = None
    commits: int = 0
    numbers = itertools.count()

    def folder(self):
        """A new output folder."""
        return study.tracked(self.root / str(next(self.numbers)), self.database)

    def moment(self):
        """A random commit of the run, neither the first nor the last ones."""
        return int(self.rng.integers(3, max(4, int(0.8 * self.commits))))

    def same(self, run_dir):
        """Whether a run ended in the undisturbed numbers, to the bit."""
        return study.measured(run_dir) == self.reference

    def resumed(self, run_dir, workers):
        """Whether it does so once it is resumed by another number of workers."""
        code, _, words = study.resume_elsewhere(run_dir, outside.RESUMED_BY[workers])
        if code:
            print(words, file=sys.stderr)
        return code == 0 and self.same(run_dir)


Outcome = tuple[bool, float | None]  # whether the numbers are the same, and seconds to recover
Case = Callable[[Bench, str], Outcome]


def struck(kind):
    """A worker is sent a signal."""

    def case(bench, transport):
        at, workers = [], int(bench.rng.integers(2, 4))
        saboteur = inside.strike_at(bench.moment(), kind, int(bench.rng.integers(workers)), at)
        run_dir = inside.disturbed(bench.folder(), transport, workers, saboteur)
        return bench.same(run_dir), inside.recovery(run_dir, at[0])

    return case


def armed(place, act, calls):
    """A worker does something to itself in some call of a function; the run survives it."""

    def case(bench, transport):
        call, flag = int(bench.rng.integers(2, calls)), bench.root / f"flag-{next(bench.numbers)}"
        run_dir = inside.armed(bench.folder(), transport, 2, int(bench.rng.integers(2)), place, act, call, str(flag))
        assert flag.exists(), "the fault did not strike"
        return bench.same(run_dir), None

    return case


def failing(place, act, calls):
    """A worker raises in some call of a function; the run ends, and is resumed."""

    def case(bench, transport):
        call, flag = int(bench.rng.integers(2, calls)), bench.root / f"flag-{next(bench.numbers)}"
        fault = (place, act, call, str(flag))
        run_dir, _ = outside.fails_inside(bench.folder(), transport, int(bench.rng.integers(2)), *fault)
        return bench.resumed(run_dir, 2), None

    return case


def ended(act, code=None, afterwards=lambda run_dir: None):
    """The driver ends; the run is resumed by another number of workers."""

    def case(bench, transport):
        run_dir, got, words = outside.end_at(bench.folder(), bench.moment(), transport, act)
        assert code is None or got == code, (got, words)
        afterwards(run_dir)
        return bench.resumed(run_dir, 2), None

    return case


def out_of_memory(bench, transport):
    """The numbers are those of the smaller micro-batch from that pass on: the same but for rounding."""
    flag = str(bench.root / f"flag-{next(bench.numbers)}")
    run_dir = inside.armed(bench.folder(), transport, 2, 1, "product", "memory", int(bench.rng.integers(2, 300)), flag)
    values, expected = (
        np.array(numbers["eigenvalues"]) for numbers in (study.measured(run_dir)[0], bench.reference[0])
    )
    return bool(np.abs(values - expected).max() <= 1e-4 * expected[0]), None


def node(bench, transport):
    """A node is lost, the run goes on with fewer workers; one is added, and used."""
    arguments = [sys.executable, "-m", "tests.faults.nodes", bench.folder(), bench.database, transport]
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["homes"] == 3, seen
    assert seen["with fewer"] == 2, seen
    assert seen["with the new one"] == 3, seen
    return seen["same"], seen["after"]


def two_resumes(bench, transport):
    """The second one is refused with a sentence."""
    run_dir, _, _ = outside.end_at(bench.folder(), bench.moment(), transport, outside.kill)
    codes, words = outside.resumed_twice_at_once(run_dir)
    assert sorted(codes) == [0, 2], codes
    assert "is being written by process" in words, words
    return bench.same(run_dir), None


def no_tracking(bench, transport):
    """The tracking server is away from the first to the last moment."""
    process = study.spawn(bench.folder(), 2, transport, ["tracking.uri=http://127.0.0.1:9"])
    out, words = process.communicate(timeout=300)
    assert process.returncode == 0, words
    assert "mlflow-sync" in words
    return bench.same(Path(json.loads(out)["run_dir"])), None


def soak(kills):
    """Many kills in one run."""

    def case(bench, transport):
        at = []
        saboteur = inside.strike_often(kills, (1, 4), bench.rng, at)
        run_dir = inside.disturbed(bench.folder(), transport, 3, saboteur)
        assert len(at) == kills, f"only {len(at)} kills"
        return bench.same(run_dir), float(np.median([inside.recovery(run_dir, t) for t in at]))

    return case


def cases(kills):
    """Name, transports, and the case."""
    return [
        ("worker killed at any moment", BOTH, struck(signal.SIGKILL)),
        ("worker killed in a product", BOTH, armed("product", "kill", 400)),
        ("worker killed in an exchange", SHARDED, armed("exchange", "kill", 300)),
        ("worker killed while writing its slices", SHARDED, armed("writing", "kill", 60)),
        ("worker hung (SIGSTOP)", BOTH, struck(signal.SIGSTOP)),
        ("out of memory in a worker", BOTH, out_of_memory),
        ("error on one rank before a collective", BOTH, failing("product", "fail", 400)),
        ("disk full for a worker", SHARDED, failing("writing", "disk", 60)),
        ("driver killed", BOTH, ended(outside.kill)),
        ("driver killed, last line torn", BOTH, ended(outside.kill, None, outside.tear)),
        ("SIGTERM from a scheduler", BOTH, ended(outside.terminate, 130)),
        ("Ray head lost", BOTH, ended(outside.lose_head)),
        ("two resumes at once", BOTH, two_resumes),
        ("tracking server away", BOTH, no_tracking),
        ("node lost, node added", BOTH, node),
        (f"soak: {kills} kills", BOTH, soak(kills)),
    ]


ONCE = ("two resumes at once", "tracking server away", "soak")
OWN_RAY = ("driver killed", "SIGTERM", "Ray head", "two resumes", "tracking", "node lost")


def main():
    """Run the matrix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    database = root / "mlflow.db"
    MlflowClient(f"sqlite:///{database}").search_experiments()
    bench = Bench(root, database, np.random.default_rng(options.seed))
    undisturbed = study.start(bench.folder(), 0).run.path
    bench.reference, bench.commits = study.measured(undisturbed), study.commits(undisturbed)
    print(f"Undisturbed: {bench.commits} commits. Output: {root}\n", flush=True)
    print("| fault | transport | moments | same bits | seconds to recover |\n|---|---|---|---|---|", flush=True)
    failures = 0
    for name, transports, case in cases(options.kills):
        if options.only not in name:
            continue
        shared = not name.startswith(OWN_RAY) and session.connect(8)
        for transport in transports:
            outcomes, seconds = [], []
            for _ in range(1 if name.startswith(ONCE) else options.moments):
                began = time.monotonic()
                try:
                    same, recovered = case(bench, transport)
                except Exception:
                    traceback.print_exc()
                    same, recovered = False, None
                outcomes.append(same)
                seconds += [recovered] if recovered is not None else []
                print(
                    f"{name}, {transport}: {same}, {time.monotonic() - began:.0f} s in all", file=sys.stderr, flush=True
                )
            failures += outcomes.count(False)
            times = f"{min(seconds):.1f}–{max(seconds):.1f}" if seconds else ""
            print(
                f"| {name} | {transport} | {len(outcomes)} | {sum(outcomes)} of {len(outcomes)} | {times} |", flush=True
            )
        if shared:
            session.disconnect()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
