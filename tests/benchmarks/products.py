"""Cost of one product by every method, in units of one gradient pass over the same data.

    python -m tests.benchmarks.products [--profile]

One thread, Fashion-MNIST (digits where it is not installed). The unit is the package's gradient pass, by torch's plain
operations; passes are timed in turn with it in this one process, so the machine's speed cancels. Prints Markdown.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch.profiler import profile

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.data.idx import FASHION_MNIST
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner, gradient
from distlandscape.runtime.plan import ProductPlan

TASKS = {"cnn": ({"channels": [16, 32, 64]}, 5000), "resnet20": ({}, 1024)}
PLANS = {
    "double backward": ProductPlan("double_backward"),
    "forward over reverse": ProductPlan("forward_over_reverse"),
    "kept": ProductPlan("kept"),
    "double backward, channels last": ProductPlan("double_backward", channels_last=True),
    "kept, channels last": ProductPlan("kept", channels_last=True),
}
ROUNDS = {"cnn": 15, "resnet20": 7}
LINES = 12  # of a profile


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, taken in turn, after one call each to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return times


def store(count: int) -> BlockStore:
    """The first samples of Fashion-MNIST, or the digits."""
    source = "fashion_mnist" if FASHION_MNIST.is_dir() else "digits"
    whole = dl.data.load_source(source)
    taken = whole.take(torch.arange(min(count, whole.samples)).numpy())
    return BlockStore.from_arrays(*taken, description=source)


def calls(name: str) -> tuple[str, dict[str, Callable[[], object]]]:
    """A sentence about the task, and its passes by name."""
    options, count = TASKS[name]
    data = store(count)
    shape = data.block(0)[0].shape[1:]
    objective = dl.Objective(build_model(name, shape, 10, options, seed=0), data, dtype=torch.float32)
    v_P = torch.randn(objective.parameters, generator=torch.Generator().manual_seed(0))
    plain = LocalRunner()
    passes: dict[str, Callable[[], object]] = {"gradient": lambda: gradient(objective, plain)}
    for kind in (dl.Hessian, dl.GaussNewton):
        for method, plan in PLANS.items():
            operator = kind(objective, LocalRunner(plan=plan))
            passes[f"{kind.__name__}, {method}"] = lambda operator=operator: operator @ v_P
    four = dl.Hessian(objective, LocalRunner(plan=ProductPlan("double_backward")))
    V_4P = torch.randn(4, objective.parameters, generator=torch.Generator().manual_seed(1))
    passes["Hessian, double backward, 4 vectors at once"] = lambda: four.apply(V_4P)
    sentence = f"{name}, P = {objective.parameters:,}, N = {data.samples:,} of {data.description}, {data.blocks} blocks"
    return sentence, passes


def print_profile(name: str, call: Callable[[], object]) -> None:
    """The operations that take most of a pass."""
    with profile() as recorded:
        call()
    print(f"\n{name}\n\n| operation | calls | share |\n|---|---|---|")
    rows = sorted(recorded.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    for row in rows[:LINES]:
        print(f"| {row.key[:60]} | {row.count} | {row.self_cpu_time_total / total:.1%} |")


def main() -> None:
    """Measure both networks and print the tables."""
    torch.set_num_threads(1)
    for name in TASKS:
        sentence, passes = calls(name)
        times = interleaved(passes, ROUNDS[name])
        print(f"\n{sentence}, 1 thread\n\n| one pass | gradients (median) | range |\n|---|---|---|")
        for what, seconds in times.items():
            pairs = sorted(a / b for a, b in zip(seconds, times["gradient"], strict=True))
            print(f"| {what} | {statistics.median(pairs):.2f} | {pairs[0]:.2f}–{pairs[-1]:.2f} |")
        if "--profile" in sys.argv:
            for what in ("gradient", "Hessian, kept", "GaussNewton, kept"):
                print_profile(f"{name}: {what}", passes[what])


if __name__ == "__main__":
    main()
