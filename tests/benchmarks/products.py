"""Cost of one product by every method, in units of one gradient pass over the same data.

    python -m tests.benchmarks.products [--profile]

One thread, Fashion-MNIST (digits where it is not installed). The unit is the package's gradient pass, by torch's plain
operations; each pass is timed in turn with it, by processor time, in this one process, so that the machine's speed and
its other users cancel. Prints Markdown.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator

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
    "kept, channels first": ProductPlan("kept", channels_last=False),
}
ROUNDS = {"cnn": 9, "resnet20": 3}
PROFILED = ("Hessian, kept", "GaussNewton, kept")
LINES = 12  # of a profile


def alternating(unit: Callable[[], object], call: Callable[[], object], rounds: int) -> list[float]:
    """Sorted ratios of the processor time of a pass to that of the unit right before it, after one each to warm up."""
    ratios = []
    for warm in range(rounds + 1):
        times = []
        for each in (unit, call):
            began = time.process_time()
            each()
            times.append(time.process_time() - began)
        if warm:
            ratios.append(times[1] / times[0])
    return sorted(ratios)


def store(count: int) -> BlockStore:
    """The first samples of Fashion-MNIST, or the digits."""
    source = "fashion_mnist" if FASHION_MNIST.is_dir() else "digits"
    whole = dl.data.load_source(source)
    taken = whole.take(torch.arange(min(count, whole.samples)).numpy())
    return BlockStore.from_arrays(*taken, description=source)


Pass = tuple[str, Callable[[], object]]


def passes(objective: dl.Objective) -> Iterator[Pass]:
    """Passes by name, one after the other: what one keeps is gone before the next."""
    V_KP = torch.randn(4, objective.parameters, generator=torch.Generator().manual_seed(0))
    for kind in (dl.Hessian, dl.GaussNewton):
        for method, plan in PLANS.items():
            operator = kind(objective, LocalRunner(plan=plan))
            yield f"{kind.__name__}, {method}", lambda operator=operator: operator.apply(V_KP[:1])
    four = dl.Hessian(objective, LocalRunner(plan=ProductPlan("double_backward")))
    yield "Hessian, double backward, 4 vectors at once", lambda: four.apply(V_KP)


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
    for name, (options, count) in TASKS.items():
        data = store(count)
        shape = data.block(0)[0].shape[1:]
        objective = dl.Objective(build_model(name, shape, 10, options, seed=0), data, dtype=torch.float32)
        plain = LocalRunner()
        unit = lambda objective=objective, plain=plain: gradient(objective, plain)  # noqa: E731
        P, N = objective.parameters, data.samples
        print(f"\n{name}, P = {P:,}, N = {N:,} of {data.description}, {data.blocks} blocks, 1 thread\n")
        print("| one pass | gradients (median) | range |\n|---|---|---|")
        profiles = [("gradient", unit)]
        for what, call in passes(objective):
            ratios = alternating(unit, call, ROUNDS[name])
            print(f"| {what} | {statistics.median(ratios):.2f} | {ratios[0]:.2f}–{ratios[-1]:.2f} |", flush=True)
            if "--profile" in sys.argv and what in PROFILED:
                profiles.append((what, call))
        if "--profile" in sys.argv:
            for what, call in profiles:
                print_profile(f"{name}: {what}", call)


if __name__ == "__main__":
    main()
