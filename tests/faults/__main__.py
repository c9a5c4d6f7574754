"""``python -m tests.faults``: every fault, both transports, at random moments; Markdown for docs/reliability.md.

``--moments N`` strikes each so often (3; some 20 in all), ``--only TEXT`` runs the rows whose name holds it,
``--kills N`` in the soak.
"""

import argparse
import itertools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient

from distlandscape.record.run import Run
from distlandscape.runtime import session
from tests.faults import clock, inside, limits, outside, study

BOTH, SHARDED, ALL = ("store", "collective"), ("collective",), ("local", "store", "collective")
END_SECONDS = 1.0  # from the last look of a run at what it was asked to the line that says it is done
WORKERS = {"local": 0, "store": 2, "collective": 2}


@dataclass
class Bench:
    """What every case needs: a folder of its own, the undisturbed numbers, and dice."""

    root: Path
    database: Path
    rng: np.random.Generator
    reference: object = None
    commits: int = 0
    bytes: int = 0
    durations: dict[str, float] = field(default_factory=dict)
    numbers = itertools.count()

    def folder(self):
        """A new output folder."""
        return study.tracked(self.root / str(next(self.numbers)), self.database)

    def moment(self):
        """A random commit of the run, neither the first nor the last ones."""
        return int(self.rng.integers(3, max(4, int(0.8 * self.commits))))

    def seconds(self, transport):
        """How long a run takes in a process of its own, from its first line on."""
        if transport not in self.durations:
            process = study.spawn(self.folder(), WORKERS[transport], transport)
            study.run_dir_of(process.out)
            began = time.monotonic()
            _, words = process.communicate(timeout=300)
            assert process.returncode == 0, words
            self.durations[transport] = time.monotonic() - began
        return self.durations[transport]

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


def stopped_by(kind):
    """A signal at any moment of the run, Ray's start and end included: marked, and resumable to the same bits."""

    def case(bench, transport):
        while True:
            out, seconds = bench.folder(), float(bench.rng.uniform(0, bench.seconds(transport)))
            run_dir, code, words, struck = outside.signalled_after(out, seconds, transport, kind, WORKERS[transport])
            ended = Run.open(run_dir).log.events("ended")
            if not ended or ended[0]["status"] != "done" or ended[0]["time"] > struck + END_SECONDS:
                break  # else it was over, or its end was being written
        print(f"after {seconds:.2f} s: {ended[-1:]}", file=sys.stderr)
        assert code == 130, (code, words)
        assert [event["status"] for event in ended] == ["interrupted"], words
        assert ended[0]["detail"] == f"stopped by {kind.name}"
        assert "Traceback" not in words, words
        return bench.resumed(run_dir, 3), None

    return case


def gcs_killed(bench, transport):
    """The run says so, and can be resumed."""
    run_dir, code, words = outside.end_at(bench.folder(), bench.moment(), transport, outside.lose_gcs)
    assert code == 1, (code, words)
    assert "the Ray of this run has ended (its gcs_server" in words, words
    assert "go on with: distlandscape resume" in words, words
    assert Run.open(run_dir).status == "failed"
    return bench.resumed(run_dir, 3), None


def driver_stopped(bench, transport):
    """It keeps its lease, the page says how it is, and then it goes on as if nothing had been."""
    seen = []

    def act(process):
        seen.append(outside.stop_for_a_while(study.run_dir_of(process.out), process))

    run_dir, code, words = outside.end_at(bench.folder(), bench.moment(), transport, act)
    assert code == 0, (code, words)
    ((refused, said, page),) = seen
    assert refused == 2, said
    assert "is being written by process" in said, said
    assert "kill -CONT" in page, page
    return bench.same(run_dir), None


def no_descriptors(bench, transport):
    """The driver may open no further file: it ends, and is resumed."""
    run_dir, code, words = outside.end_at(bench.folder(), bench.moment(), transport, limits.no_more_files)
    assert code == 1, (code, words)
    assert "Too many open files" in words, words
    return bench.resumed(run_dir, 3), None


def full_disk(bench, transport):
    """At any fill, from the first line of the run on; somebody makes room, and it is resumed."""
    out = bench.root / str(next(bench.numbers))
    out.mkdir()
    before = bench.database.stat().st_size
    size = before + int(bench.rng.uniform(0.4, 1.0) * bench.bytes)
    with limits.disk(out, size):
        shutil.copy(bench.database, out / "mlflow.db")
        process = study.spawn(out, WORKERS[transport], transport)
        _, words = process.communicate(timeout=300)
        print(f"{size - before} bytes of {bench.bytes}: exit code {process.returncode}", file=sys.stderr)
        if process.returncode == 0:
            return bench.same(study.run_dir_of(out)), None
        found = list(out.glob("spectrum-*/run.json"))
        assert process.returncode in (1, 2), (process.returncode, words)
        assert "Traceback" not in words, words
        limits.enlarge(out)
        if not list(out.glob("spectrum-*/log.jsonl")):  # too little for a run to begin at all
            return not found or "No space" in words, None
        return bench.resumed(study.run_dir_of(out), 3), None


def clock_set_back(bench, transport):
    """By an hour in the middle of a run, and before a resume: what goes on is shown as running, and ends the same."""
    flag = bench.root / f"flag-{next(bench.numbers)}"

    def act(process):
        run_dir = study.run_dir_of(process.out)
        flag.touch()
        study.wait_for_commits(run_dir, study.commits(run_dir) + 2)
        assert Run.open(run_dir).status == "running"
        process.terminate()

    run_dir, code, words = outside.end_at(bench.folder(), bench.moment(), transport, act, through=clock.through(flag))
    assert code == 130, (code, words)
    now = time.time()
    (run_dir / "log.jsonl").touch()
    process = subprocess.Popen(
        [*clock.through(flag), "resume", str(run_dir), "--workers", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = Run.open(run_dir).log
    while len(log.events("started")) < 2 and process.poll() is None:
        time.sleep(0.01)
    assert log.events("started")[-1]["time"] < now - 0.9 * clock.HOUR
    shown = Run.open(run_dir).status
    _, words = process.communicate(timeout=300)
    assert process.returncode == 0, words
    assert shown == "running", shown
    assert Run.open(run_dir).result["wall_s"] > 0
    return bench.same(run_dir), None


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
        ("SIGTERM at any moment", ALL, stopped_by(signal.SIGTERM)),
        ("SIGUSR1 at any moment", BOTH, stopped_by(signal.SIGUSR1)),
        ("SIGUSR2 at any moment", BOTH, stopped_by(signal.SIGUSR2)),
        ("Ctrl-C at any moment", BOTH, stopped_by(signal.SIGINT)),
        ("driver stopped (SIGSTOP) and continued", BOTH, driver_stopped),
        ("disk full at any fill", ALL, full_disk),
        ("driver out of file descriptors", BOTH, no_descriptors),
        ("clock set back", BOTH, clock_set_back),
        ("GCS killed", BOTH, gcs_killed),
        ("Ray head lost", BOTH, ended(outside.lose_head)),
        ("two resumes at once", BOTH, two_resumes),
        ("tracking server away", BOTH, no_tracking),
        ("node lost, node added", BOTH, node),
        (f"soak: {kills} kills", BOTH, soak(kills)),
    ]


ONCE = ("two resumes at once", "tracking server away", "soak")
OFTEN = {"SIGTERM at any moment": 7, "disk full at any fill": 7}  # 20 and one in all
IN_THIS_PROCESS = ("worker", "out of memory", "error on one rank", "disk full for a worker", "soak")  # they share a Ray
AS_ROOT = ("disk full at any fill",)


def main():
    """Run the matrix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int)
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
    bench.bytes = limits.used(undisturbed.parent) - database.stat().st_size  # the stores of its data among them
    print(f"Undisturbed: {bench.commits} commits. Output: {root}\n", flush=True)
    print("| fault | transport | moments | same bits | seconds to recover |\n|---|---|---|---|---|", flush=True)
    failures = 0
    for name, transports, case in cases(options.kills):
        if options.only not in name:
            continue
        if name in AS_ROOT and not limits.is_root():
            print(f"{name}: left out, as only root can make a small disk", file=sys.stderr, flush=True)
            continue
        shared = name.startswith(IN_THIS_PROCESS) and session.connect(8)
        for transport in transports:
            outcomes, seconds = [], []
            for _ in range(1 if name.startswith(ONCE) else options.moments or OFTEN.get(name, 3)):
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
