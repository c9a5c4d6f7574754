"""Cost of one product in units of a gradient over the same data, beside curvlinops, and of a pass over Ray workers.

Times are ratios taken in turn within this one process, so the machine's speed and its noise cancel.
Run with ``make bench``; prints Markdown.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from curvlinops import HessianLinearOperator
from torch import nn

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner, gradient

ROUNDS = 7


def interleaved(calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each call, taken in turn, after one call each to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return times


def ratios(times: dict[str, list[float]], unit: str) -> list[str]:
    """A Markdown row a call: the median over rounds of its time over the unit's, with the range."""
    rows = []
    for name, seconds in times.items():
        pairs = sorted(a / b for a, b in zip(seconds, times[unit], strict=True))
        rows.append(f"| {name} | {statistics.median(pairs):.2f} | {pairs[0]:.2f}–{pairs[-1]:.2f} |")
    return rows


def main() -> None:
    """Measure the digits mlp and cnn and print the tables."""
    torch.set_num_threads(1)
    store = dl.data.load_source("digits", blocks=16)
    batches = [tuple(map(torch.tensor, store.block(i))) for i in range(store.blocks)]
    for name, options in (("mlp", {"hidden": [64, 64]}), ("cnn", {"channels": [16, 32]})):
        model = build_model(name, (1, 8, 8), 10, options, seed=0)
        objective = dl.Objective(model, store)
        v = torch.randn(objective.parameters, generator=torch.Generator().manual_seed(0))
        local = LocalRunner(threads=1)
        hessian, gauss_newton = dl.Hessian(objective, local), dl.GaussNewton(objective, local)
        parameters = list(model.parameters())
        peer = HessianLinearOperator(model, nn.CrossEntropyLoss(), parameters, batches, check_deterministic=False)
        with dl.Pool(1, 0.5, threads=1) as one, dl.Pool(2, 0.5, threads=1) as two:
            by_one, by_two = dl.Hessian(objective, one), dl.Hessian(objective, two)
            times = interleaved(
                {
                    "gradient": lambda objective=objective, local=local: gradient(objective, local),
                    "Hessian product": lambda hessian=hessian, v=v: hessian @ v,
                    "Gauss-Newton product": lambda gauss_newton=gauss_newton, v=v: gauss_newton @ v,
                    "Hessian product, 1 worker": lambda h=by_one, v=v: h @ v,
                    "Hessian product, 2 workers": lambda h=by_two, v=v: h @ v,
                    "curvlinops Hessian product": lambda peer=peer, v=v: peer @ v,
                }
            )
        print(f"\n{name} {options}, P = {objective.parameters:,}, N = {objective.samples:,}, 1 thread\n")
        print("| one pass | gradients (median) | range |\n|---|---|---|")
        print("\n".join(ratios(times, "gradient")))


if __name__ == "__main__":
    main()
