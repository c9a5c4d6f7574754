"""Planes as ratios: products of each kind, packed against single trainings, the sweep of the digits.

``python -m tests.benchmarks.planes [projections] [packs] [sweep]``; ``… peer FOLDER`` for the wrappers of the package
intrinsic-dimensionality, whose published wheel has no module in it, from a checkout of its source. Times are of this
process's CPU where one thread works, so that a busy machine distorts them less.
"""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.training.projections import Projection, make_projection
from distlandscape.training.rows import AllRows
from distlandscape.training.subspace import Recipe, train_pack

LARGE, WIDE = 11_200_000, 100_000
JOB = Path(__file__).parents[2] / "jobs" / "digits-hyperplane.yaml"


def fastest(call: Callable[[], object], times: int = 5) -> float:
    """CPU seconds of the fastest of some calls, after one that warms up."""
    call()
    seconds = []
    for _ in range(times):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


def resident() -> int:
    """Bytes of anonymous memory of this process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


def projections() -> None:
    """Lift and pull at P = 11.2 million, beside one copy of P floats; dense beside a product over its matrix."""
    g = torch.randn(LARGE)
    copy = fastest(g.clone)
    print(f"| P = {LARGE:,}, 1 thread | d | lift + pull | in copies of P floats | memory in P floats |")
    print("|---|---|---|---|---|")
    for kind, dim in (("hashed", WIDE), ("fastfood", WIDE), ("cosine", WIDE), ("hadamard", WIDE), ("dense", 20)):
        w, before = torch.randn(dim), resident()
        plane: Projection | None = make_projection(kind, LARGE, dim, 0)
        held = resident() - before
        assert plane is not None
        both = fastest(lambda p=plane, w=w: p.pull(p.lift(w)))
        print(f"| {kind} | {dim:,} | {1e3 * both:.0f} ms | {both / copy:.1f} | {held / 4 / LARGE:.1f} |", flush=True)
        del plane
    parameters, dim = 1_000_000, 100
    matrix, v = torch.randn(parameters, dim), torch.randn(dim)
    dense, product = make_projection("dense", parameters, dim, 0), fastest(lambda: matrix @ v)
    lift, pull = fastest(lambda: dense.lift(v)), fastest(lambda: dense.pull(g[:parameters]))
    print(
        f"\nDense, P = {parameters:,}, d = {dim}: lift {lift / product:.2f}, pull {pull / product:.2f} of one product\n"
    )


def packs() -> None:
    """A step of eight members together over eight alone, an mlp 784-200-200-10 in planes of d = 500, one thread."""
    random = np.random.default_rng(0)
    x, y = random.standard_normal((1024, 1, 28, 28), dtype=np.float32), random.integers(0, 10, 1024)
    members, rows, few, steps = 8, AllRows(x, y), AllRows(x[:64], y[:64]), 6
    objectives = [
        dl.Objective(build_model("mlp", (1, 28, 28), 10, {"hidden": [200, 200]}, seed), (x, y))
        for seed in range(members)
    ]
    recipe = Recipe(steps=steps, learning_rate=1e-3, optimizer="adam", evaluate_every=1000)
    print("| plane, d = 500 | a step alone | alone / packed |\n|---|---|---|")
    for kind, shared in (("hashed", False), ("fastfood", False), ("dense", True)):
        parameters = objectives[0].parameters
        one = make_projection(kind, parameters, 500, 0)
        planes = [one] * members if shared else [make_projection(kind, parameters, 500, s) for s in range(members)]

        def train(chosen: list[int], planes: list[Projection] = planes) -> None:
            train_pack([objectives[i] for i in chosen], [planes[i] for i in chosen], chosen, rows, few, recipe)

        alone = fastest(lambda train=train: [train([i]) for i in range(members)], 3)
        packed = fastest(lambda train=train: train(list(range(members))), 3)
        name = f"{kind}, {'one for all' if shared else 'one a seed'}"
        print(f"| {name} | {1e3 * alone / members / steps:.1f} ms | {alone / packed:.2f} |", flush=True)
    print()


def peer(folder: str) -> None:
    """A step of its wrapped mlp 784-200-200-10, d = 500, over one of a training in a pack of eight of ours."""
    sys.path.insert(0, folder)
    dense = importlib.import_module("intrinsic.dense").DenseWrap
    fastfood = importlib.import_module("intrinsic.fastfood").FastfoodWrap
    random = np.random.default_rng(0)
    x, y = random.standard_normal((1024, 1, 28, 28), dtype=np.float32), random.integers(0, 10, 1024)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    members, steps, few = 8, 10, AllRows(x[:64], y[:64])
    objectives = [
        dl.Objective(build_model("mlp", (1, 28, 28), 10, {"hidden": [200, 200]}, seed), (x, y))
        for seed in range(members)
    ]
    recipe = Recipe(steps=steps, batch_size=64, learning_rate=1e-3, optimizer="adam", evaluate_every=1000)

    def theirs(wrap: Callable[..., torch.nn.Module]) -> float:
        model = wrap(build_model("mlp", (1, 28, 28), 10, {"hidden": [200, 200]}, 0), 500, device="cpu")
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)

        def train() -> None:
            for _ in range(steps):
                rows = torch.randint(len(images), (64,))
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
                optimizer.step()

        return fastest(train, 3) / steps

    def ours(kind: str, shared: bool) -> float:
        one = make_projection(kind, objectives[0].parameters, 500, 0)
        planes = [one if shared else make_projection(kind, objectives[0].parameters, 500, s) for s in range(members)]
        chosen = list(range(members))
        call = functools.partial(train_pack, objectives, planes, chosen, AllRows(x, y), few, recipe)
        return fastest(call, 3) / steps / members

    print("| plane, d = 500 | theirs, a step | ours, a step and training | ratio |\n|---|---|---|---|")
    for kind, shared, wrap in (
        ("dense", True, dense), ("dense", False, dense), ("fastfood", False, fastfood), ("hashed", False, fastfood)
    ):  # fmt: skip
        a, b = theirs(wrap), ours(kind, shared)
        name = f"{kind}, {'one for all' if shared else 'one a seed'}"
        print(f"| {name} | {1e3 * a:.1f} ms | {1e3 * b:.1f} ms | {a / b:.1f} |", flush=True)
    print()


def sweep() -> None:
    """The digits job in this process: wall time, trainings, d_int90."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "distlandscape.cli.main", "hyperplane", "--config", str(JOB), "--json"]
        done = subprocess.run([*command, "--out", out], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    found = result["d_int90"]
    print(f"Digits: {result['trainings']} trainings in {result['wall_s']:.0f} s with {result['workers']} workers;")
    print(f"d_int90 {found['value']:.0f} ({found['low']} to {found['high']}), baseline {found['baseline']:.3f}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    parts = {"projections": projections, "packs": packs, "sweep": sweep}
    if sys.argv[1:2] == ["peer"]:
        peer(sys.argv[2])
    else:
        for name in sys.argv[1:] or parts:
            parts[name]()
