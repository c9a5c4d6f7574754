"""What a bounded basis costs in products and saves in memory: the ten largest eigenpairs with 15 vectors at most.

    python -m tests.benchmarks.thick_restart [CASE]

Products are all of them: the run's, the certificate's and those of the check for missed copies. The resident set is
read after each product, in a process of its own for every row; what it had reached before the first one is taken off.
Prints Markdown.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner
from distlandscape.runtime.plan import ProductPlan
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.space import Space, Vector
from tests.benchmarks.warm_start import checkpoints

K, BASIS, TOL = 10, 15, 1e-3
DIM = 2_000_000  # of the matrix that is known by its eigenvalues


class Diagonal:
    """Ten outliers over a bulk of both signs; the start vectors are isotropic, so no rotation is needed."""

    def __init__(self) -> None:
        self.space: Space = TensorSpace(DIM, torch.float32)
        bulk = torch.linspace(-1, 1, DIM - 10)
        self._values = torch.cat([bulk.sign() * bulk.abs() ** 3, 1.5 * 1.4 ** torch.arange(10)])

    def apply(self, vectors: Sequence[Vector]) -> list[Vector]:
        """The matrix times each of K vectors."""
        return [self._values * v for v in vectors]


def network(name: str, step: int = 500) -> Any:
    """The Hessian of a network on 600 digits, after some steps of training."""
    store = dl.data.load_source("digits", samples=600, blocks=4)
    objective = dl.Objective(build_model(name, (1, 8, 8), 10, {}, seed=0), store)
    trained = objective.with_weights(checkpoints(objective)[step])
    return dl.Hessian(trained, LocalRunner(plan=ProductPlan("double_backward")))


CASES = {
    "diagonal, P = 2,000,000": Diagonal,
    "mlp on digits, P = 1,510": lambda: network("mlp"),
    "cnn on digits, P = 1,898": lambda: network("cnn"),
    "the same untrained": lambda: network("cnn", 0),
}


class Watched:
    """An operator that notes how large the process is."""

    def __init__(self, operator: Any) -> None:
        self._operator, self.space, self.sizes = operator, operator.space, list[int]()

    def apply(self, vectors: Any) -> Any:
        """The operator's product."""
        out = self._operator.apply(vectors)
        self.sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        return out


def measure(case: str, basis_size: int | None) -> tuple[int, int, float, np.ndarray]:
    """Steps, products, MB and eigenvalues."""
    torch.set_num_threads(1)
    watched = Watched(CASES[case]())
    pairs = dl.top_eigenpairs(watched, K, TOL, basis_size=basis_size)
    assert pairs.status == "converged", pairs.status
    return pairs.steps, pairs.passes, (max(watched.sizes) - watched.sizes[0]) / 1e6, pairs.eigenvalues


def main() -> None:
    """Print a row a case."""
    print(f"\nTop {K} to {TOL:g}, at most {BASIS} vectors against all\n")
    print("| operator | products, all | 15 | ratio | of them steps, all | 15 | MB, all | 15 | largest difference |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for case in [name for name in CASES if sys.argv[1:] in ([], [name])]:
            free, bound = (pool.apply(measure, (case, size)) for size in (None, BASIS))
            off = np.max(np.abs(free[3] - bound[3]) / np.abs(free[3]))
            products = f"{free[1]} | {bound[1]} | {bound[1] / free[1]:.2f}"
            print(f"| {case} | {products} | {free[0]} | {bound[0]} | {free[2]:.0f} | {bound[2]:.0f} | {off:.0e} |")


if __name__ == "__main__":
    main()
