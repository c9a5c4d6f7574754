"""Sharded vectors: memory by number of workers, what checkpoints cost, what a pass costs beside its arithmetic.

    make bench-scaling                       everything, Markdown
    python -m tests.benchmarks.scaling NAME  one of: bits, memory, checkpoints, overhead, speedup, plan

Nothing here was run on a GPU or on several machines.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from distlandscape.config import load_config
from distlandscape.data import load_source
from distlandscape.models import build_model
from distlandscape.objective import Objective
from distlandscape.record.run import Run
from distlandscape.runtime import Hessian, LocalRunner, Pool
from distlandscape.spectral import spectral_density, top_eigenpairs
from distlandscape.spectral.journal import SILENT
from distlandscape.spectral.lanczos import Lanczos
from distlandscape.studies.journal import RunJournal
from distlandscape.studies.probe import measure
from distlandscape.studies.runner import resolve

MB = 2**20


def anonymous(pid):
    """RssAnon of a process in MB: its own memory, without pages of the object store or of files."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def images(name, samples, side):
    """A net of the zoo over images of noise, which cost what photographs do."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((samples, 3, side, side)).astype("f4"), rng.integers(0, 10, samples)
    return Objective(build_model(name, (3, side, side), 10, {}, seed=0), (x, y))


def memory():
    """The basis of resnet18, 64 images, by the number of workers."""
    objective = images("resnet18", 64, 16)
    print(f"resnet18, P = {objective.parameters:,}, 64 images (16×16), transport collective, 20 Lanczos steps.\n")
    print("| workers | basis per worker, MB | × workers | driver over idle, MB |\n|---|---|---|---|", flush=True)
    for workers in (1, 2, 4):
        with Pool(workers, 0.5, threads=1, transport="collective") as pool:
            idle, driver = anonymous(os.getpid()), 0.0
            run = Lanczos(Hessian(objective, pool), 24, 0)
            for step in range(1, 21):
                run.step()
                driver = max(driver, anonymous(os.getpid()))
                if step == 2:
                    early = [anonymous(pid) for pid in pool.pids]
            grown = [anonymous(pid) - before for pid, before in zip(pool.pids, early, strict=True)]
            largest = max(grown)
            print(f"| {workers} | {largest:.0f} | {largest * workers:.0f} | {driver - idle:.0f} |", flush=True)
            del run


def checkpoints():
    """Steps of resnet20 with and without a journal, in turns on the same run."""
    objective = images("resnet20", 256, 32)
    print(f"resnet20, P = {objective.parameters:,}, 256 images, time of a step with a journal over one without.\n")
    print("| where | steps of each | seconds of a step | ratio of medians |\n|---|---|---|---|", flush=True)
    with Pool(2, 0.5, threads=1, transport="collective") as pool:
        for name, runner in (("driver", LocalRunner(1)), ("2 workers, collective", pool)):
            with tempfile.TemporaryDirectory() as folder:
                journal = RunJournal(Run.create(Path(folder), "spectrum", {}, {}), "s", lambda _: None, lambda: False)
                run = Lanczos(Hessian(objective, runner), 60, 0, journal=journal)
                seconds = {"with": [], "without": []}
                for step in range(26):
                    kind = ("with", "without")[step % 2]
                    run.journal = journal if kind == "with" else SILENT
                    began = time.perf_counter()
                    run.step()
                    seconds[kind].append(time.perf_counter() - began)
                journal.end()
            medians = {kind: float(np.median(values[1:])) for kind, values in seconds.items()}
            ratio = medians["with"] / medians["without"]
            print(f"| {name} | 12 | {medians['without']:.2f} | {ratio:.3f} |", flush=True)


def overhead():
    """Milliseconds of a Lanczos step on little data: what is left is the transport's."""
    print("Lanczos steps on 64 samples, milliseconds (median of 30).\n")
    print("| P | local | store, 2 workers | collective, 2 workers |\n|---|---|---|---|", flush=True)
    with Pool(2, 0.5, threads=1) as store, Pool(2, 0.5, threads=1, transport="collective") as group:
        for width in (100, 1500):
            rng = np.random.default_rng(0)
            net = build_model("mlp", (1, 16, 16), 10, {"hidden": [width, width]}, seed=0)
            objective = Objective(net, (rng.standard_normal((64, 1, 16, 16)).astype("f4"), rng.integers(0, 10, 64)))
            row = []
            for runner in (LocalRunner(1), store, group):
                run, seconds = Lanczos(Hessian(objective, runner), 40, 0), []
                for _ in range(34):
                    began = time.perf_counter()
                    run.step()
                    seconds.append(time.perf_counter() - began)
                row.append(1000 * float(np.median(seconds[4:])))
                del run
            print(f"| {objective.parameters:,} | {' | '.join(f'{ms:.0f}' for ms in row)} |", flush=True)


def speedup():
    """A product with the Hessian of resnet20, two workers beside this process, in turns; one thread each."""
    objective = images("resnet20", 512, 32)
    print(f"resnet20, P = {objective.parameters:,}, 512 images, product with one process over that with two workers.\n")
    print(
        "| transport | seconds, one process | seconds, 2 workers | ratio (median of 5) | range |\n|---|---|---|---|---|"
    )
    for transport in ("store", "collective"):
        local = Hessian(objective, LocalRunner(1))
        alone, shared = [], []
        with Pool(2, 0.5, threads=1, transport=transport) as pool:
            H = Hessian(objective, pool)
            for round_ in range(6):
                for operator, seconds in ((local, alone), (H, shared)):
                    v = operator.space.random(0, round_, "normal")
                    began = time.perf_counter()
                    product = operator.apply([v])
                    operator.space.dots(product, product)  # sharded products wait for a number
                    seconds.append(time.perf_counter() - began)
        ratios = sorted(a / b for a, b in zip(alone[1:], shared[1:], strict=True))
        times = f"{np.median(alone[1:]):.2f} | {np.median(shared[1:]):.2f}"
        print(f"| {transport} | {times} | {np.median(ratios):.2f} | {ratios[0]:.2f}–{ratios[-1]:.2f} |", flush=True)


def plan():
    """What ``plan`` expects of a pass beside passes of pools of 1, 2 and 4 workers, in turns; one thread each."""
    objective = images("resnet20", 512, 32)
    print(f"resnet20, P = {objective.parameters:,}, 512 images: a pass as planned over one that was run.\n")
    print("| transport | workers | s planned | s run | ratio (median of 5) | range |\n|---|---|---|---|---|---|")
    for transport in ("store", "collective"):
        settings = [f"runtime.transport={transport}", "runtime.workers=1", "train.steps=0"]
        config = resolve(load_config(None, settings), "spectrum")
        for workers in (1, 2, 4):
            planned, run = [], []
            with Pool(workers, 0.5, threads=1, transport=transport) as pool:
                H = Hessian(objective, pool)
                for round_ in range(6):
                    planned.append(measure(objective, config, seconds=0.5).plan(workers, 1).pass_seconds)
                    v = H.space.random(0, round_, "normal")
                    began = time.perf_counter()
                    product = H.apply([v])
                    H.space.dots(product, product)
                    run.append(time.perf_counter() - began)
            ratios = sorted(a / b for a, b in zip(planned[1:], run[1:], strict=True))
            times = f"{np.median(planned[1:]):.2f} | {np.median(run[1:]):.2f}"
            spread = f"{ratios[0]:.2f}–{ratios[-1]:.2f}"
            print(f"| {transport} | {workers} | {times} | {np.median(ratios):.2f} | {spread} |", flush=True)


def bits():
    """Eigenvalues, Ritz vectors and density of a small cnn on digits, with thick restarts, by transport and workers."""
    data = load_source("digits", samples=400)
    objective = Objective(build_model("cnn", (1, 8, 8), 10, {}, seed=0), data)

    def measured(runner):
        H = Hessian(objective, runner)
        pairs = top_eigenpairs(H, (6, 2), 1e-3, "BE", basis_size=20)
        density = spectral_density(H, 2, 20, known=pairs)
        arrays = (pairs.eigenvalues, pairs.eigenvectors.numpy(), pairs.residuals, density.nodes, density.weights)
        return pairs, b"".join(array.tobytes() for array in arrays)

    pairs, expected = measured(LocalRunner(1))
    print(f"cnn, P = {objective.parameters:,}, 400 digits, basis_size 20, {pairs.steps} steps in the main run.\n")
    print("| transport | 1 worker | 2 | 3 | 4 |\n|---|---|---|---|---|", flush=True)
    for transport in ("store", "collective"):
        row = []
        for workers in (1, 2, 3, 4):
            with Pool(workers, 0.5, threads=1, transport=transport) as pool:
                row.append("same bits" if measured(pool)[1] == expected else "DIFFERENT")
        print(f"| {transport} | {' | '.join(row)} |", flush=True)


PARTS = {
    "bits": bits,
    "memory": memory,
    "checkpoints": checkpoints,
    "overhead": overhead,
    "speedup": speedup,
    "plan": plan,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or PARTS:
        print(f"\n### {name}\n")
        PARTS[name]()
