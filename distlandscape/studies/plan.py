"""``plan``: a few products on one block are timed, and the cost model says what a study will take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from distlandscape.config import RunConfig
from distlandscape.curvature import hessian_products
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime.evaluate import Evaluator
from distlandscape.runtime.local import default_device
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.tree import Subtree
from distlandscape.studies.context import build_objective
from distlandscape.studies.costs import Costs, Plan
from distlandscape.studies.runner import STUDIES, main_operator, resolve
from distlandscape.studies.tuning import tuned

REPEATS = 3
PROBE_SECONDS = 1.0
RATE_ENTRIES = 2**22  # of a row of the matrix that memory is timed with: beyond the caches, at most 256 MB in all


def plan_study(
    study: str, config: RunConfig, counts: Sequence[int], network_gbit: float = 10.0
) -> tuple[Costs, list[Plan], float]:
    """Measure a block, and expect what so many workers will take; (costs, a plan a count, passes).

    Cost: the data are read, and five products are computed, on one block or, where that is fast, on more.

    Raises:
        InputError: wrong configuration, a study that is not made of passes, or a count below 1.
    """
    if study not in STUDIES:
        raise InputError(f"{study!r} is not made of passes over data, so none is planned; name {', '.join(STUDIES)}")
    if not counts or min(counts) < 1:
        raise InputError("a plan needs numbers of workers of at least 1, for example 1,2,4,8; correct --counts")
    if not network_gbit > 0:
        raise InputError(f"--network-gbit {network_gbit} must be above 0; give the speed of a machine's network")
    config = resolve(config, study)
    assert config.runtime.threads is not None, "resolve fills it in"
    torch.set_num_threads(config.runtime.threads)
    objective = build_objective(config)
    STUDIES[study].check(config, objective)
    config, _ = tuned(config, objective, main_operator(study, config, objective))
    costs = measure(objective, config, network_gbit)
    # With blocks passes are fewer and dearer. What is timed is a pass of one vector, so those are counted.
    single = config.model_copy(update={"spectrum": config.spectrum.model_copy(update={"block": 1})})
    passes = STUDIES[study].planned_passes(single, config.train.checkpoints or 1)
    return costs, [costs.plan(count, passes) for count in counts], passes


def measure(objective: Objective, config: RunConfig, network_gbit: float = 10.0) -> Costs:
    """Time products on a block or more, through kept linearisations where a run would keep them, and memory."""
    r, data = config.runtime, objective.data
    assert r.product is not None and r.channels_last is not None, "resolve or the probe fills them in"
    evaluator = Evaluator(default_device(), r.micro_batch, ProductPlan(r.product, r.memory, r.channels_last))
    rng = np.random.default_rng(0)
    v_1P = rng.standard_normal((1, objective.parameters)).astype(str(objective.dtype).removeprefix("torch."))

    def products(blocks: int) -> Callable[[], object]:
        return lambda: evaluator.subtree_sums(objective, hessian_products, [v_1P], [Subtree(0, blocks)])

    # Small blocks are timed together: one alone would never leave the processor's cache.
    began = time.perf_counter()
    products(1)()
    together = min(data.blocks, max(1, int(PROBE_SECONDS / (time.perf_counter() - began))))
    together = 1 << together.bit_length() - 1
    seconds = _fastest(products(together)) / together
    x, y = data.block(0)
    return Costs(
        parameters=objective.parameters,
        blocks=data.blocks,
        block_seconds=seconds,
        sample_bytes=(x.nbytes + y.nbytes) / len(x) * objective.samples,
        vector_bytes=v_1P.itemsize,
        memory_rate=memory_rate(objective.parameters),
        network_rate=network_gbit * 1e9 / 8,
        local_workers=max(1, len(os.sched_getaffinity(0)) // max(1, int(np.ceil(r.cpus_per_worker)))),
        transport=r.transport,
    )


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
