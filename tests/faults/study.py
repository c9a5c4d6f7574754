"""The run that is disturbed, and what has to be the same afterwards."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from distlandscape.config import load_config
from distlandscape.record.run import Run
from distlandscape.studies.runner import resume_study, run_study

WORK = [
    *("data.samples=300", "model.options={hidden: [6]}", "train.steps=60"),
    *("spectrum.k=8", "spectrum.lowest=1", "spectrum.basis_size=24", "spectrum.density_steps=20"),
    *("spectrum.trace_probes=2", "runtime.threads=1", "runtime.cpus_per_worker=0.5"),
]
NUMBERS = ("eigenvalues", "residuals", "lowest", "lowest_residuals", "trace", "frobenius", "trust", "passes", "loss")


def page(run_dir):
    """No page: it has nothing to do with faults."""
    return run_dir / "report.html"


def start(out, workers, transport="store", extra=()):
    """The study in this process, joined to the Ray that runs in it."""
    return run_study("spectrum", load_config(None, [*WORK, *where(workers, transport), *extra]), out, page)


def resume(run_dir, workers):
    """Go on in this process."""
    return resume_study(Run.open(run_dir), page, workers)


def where(workers, transport):
    """Assignments that say where the products run."""
    return [f"runtime.workers={workers}", *([f"runtime.transport={transport}"] if workers else [])]


def command(*arguments):
    """A command line in a process of its own."""
    return [sys.executable, "-m", "distlandscape.cli.main", *map(str, arguments)]


def spawn(out, workers, transport="store", extra=(), through=None):
    """The study in a process of its own, with a Ray of its own; ``through`` stands for the command line's program."""
    sets = [part for s in [*WORK, *where(workers, transport), *extra] for part in ("--set", s)]
    arguments = [*(through or command()), "spectrum", *sets, "--json", "--out", str(out)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.out = out
    return process


def resume_elsewhere(run_dir, workers):
    """Exit code, result and standard error of a resume in a process of its own."""
    done = subprocess.run(
        command("resume", run_dir, "--workers", workers, "--json"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else {}, done.stderr


def measured(run_dir):
    """Every number of a finished run, and the bytes of every vector and array."""
    run = Run.open(run_dir)
    arrays = {name: file.read_bytes() for file in sorted((run.path / "stages").iterdir()) for name in [file.name]}
    return {name: run.result.get(name) for name in NUMBERS}, arrays


def tracked(out, database):
    """An output folder whose tracking database has its schema already, which takes seconds to make."""
    out.mkdir(parents=True)
    shutil.copy(database, out / "mlflow.db")
    return out


def run_dir_of(out, patience=120.0):
    """The one run in a folder, as soon as it is there."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = list(Path(out).glob("spectrum-*/log.jsonl"))
        if found:
            return found[0].parent
        time.sleep(0.02)
    raise TimeoutError(f"no run appeared in {out}")


def commits(run_dir):
    """How many commits the log of a run has: steps and stages."""
    log = (run_dir / "log.jsonl").read_text()
    return log.count('"event": "steps"') + log.count('"event": "stage"')


def wait_for_commits(run_dir, count, alive=lambda: True, patience=150.0):
    """Wait until a run has committed so much."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if commits(run_dir) >= count:
            return
        assert alive(), "the run ended before it could be disturbed"
        time.sleep(0.005)
    raise TimeoutError(f"{run_dir} did not get to {count} commits")
