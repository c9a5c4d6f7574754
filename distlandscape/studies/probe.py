"""What the cost model is calibrated by: products on a few blocks, and reading memory, timed on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import torch

from distlandscape.config import RunConfig
from distlandscape.curvature import hessian_products
from distlandscape.errors import OutOfMemory
from distlandscape.objective import Objective
from distlandscape.runtime.device import default_device
from distlandscape.runtime.evaluate import Evaluator
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.tree import Subtree
from distlandscape.studies.costs import Costs

REPEATS = 3
PROBE_SECONDS = 1.0
RATE_ENTRIES = 2**22  # of a row of the matrix that memory is timed with: beyond the caches, at most 256 MB in all


def measure(objective: Objective, config: RunConfig, network_gbit: float = 10.0, seconds: float | None = None) -> Costs:
    """Time products on a block or more, through kept linearisations where a run would keep them, and memory.

    Cost: five products on one block, or on as many as ``seconds`` hold (PROBE_SECONDS, by default).
    """
    r, data = config.runtime, objective.data
    assert r.product is not None and r.channels_last is not None, "resolve or the probe fills them in"
    device = torch.device("cpu") if r.workers and not r.gpus_per_worker else default_device()
    evaluator = Evaluator(device, r.micro_batch, ProductPlan(r.product, r.memory, r.channels_last))
    rng = np.random.default_rng(0)
    v_1P = rng.standard_normal((1, objective.parameters)).astype(str(objective.dtype).removeprefix("torch."))

    def products(blocks: int) -> Callable[[], object]:
        return lambda: evaluator.subtree_sums(objective, hessian_products, [v_1P], [Subtree(0, blocks)])

    # Small blocks are timed together: one alone would never leave the processor's cache.
    limit = PROBE_SECONDS if seconds is None else seconds
    began = time.perf_counter()
    products(1)()
    together = min(data.blocks, max(1, int(limit / (time.perf_counter() - began))))
    together = 1 << together.bit_length() - 1
    block_seconds = _fastest(products(together)) / together
    x, y = data.block(0)
    return Costs(
        parameters=objective.parameters,
        blocks=data.blocks,
        block_seconds=block_seconds,
        sample_bytes=(x.nbytes + y.nbytes) / len(x) * objective.samples,
        vector_bytes=v_1P.itemsize,
        memory_rate=memory_rate(objective.parameters),
        network_rate=network_gbit * 1e9 / 8,
        local_workers=max(1, len(os.sched_getaffinity(0)) // max(1, int(np.ceil(r.cpus_per_worker)))),
        transport=r.transport,
    )


def briefly(question: tuple[Objective, RunConfig]) -> Costs | None:
    """``measure`` in short, as a task: what a study says when it starts; None where memory is too small for it."""
    objective, config = question
    try:
        return measure(objective, config, seconds=0.0)
    except OutOfMemory:
        return None


def memory_rate(parameters: int) -> float:
    """Bytes a second that a product of 16 rows of that length with a vector reads."""
    entries = min(parameters, RATE_ENTRIES)
    Q_MP, v_P = np.ones((16, entries), np.float32), np.ones(entries, np.float32)
    return Q_MP.nbytes / max(_fastest(lambda: Q_MP @ v_P), 1e-9)


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few calls, after one that meets everything for the first time."""
    work()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
