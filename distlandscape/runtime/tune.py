"""``runtime.tune``: a timed probe picks the method of the products, once for all workers, before a run begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from distlandscape.curvature.forward import require_forward_mode
from distlandscape.curvature.graph import held_bytes
from distlandscape.curvature.product import Product
from distlandscape.errors import InputError
from distlandscape.objective import Batch, Objective
from distlandscape.objective.switches import measuring
from distlandscape.runtime.device import default_device
from distlandscape.runtime.evaluate import default_micro_batch
from distlandscape.runtime.kept import SHARE
from distlandscape.runtime.memory import available_memory
from distlandscape.runtime.placed import Placed
from distlandscape.runtime.plan import METHODS, ProductPlan

clock = time.perf_counter
REPEATS = 3
GAIN = 0.95  # of the seconds of the plan given, which another one must stay below: a smaller gain is noise

Uses = tuple[Product, tuple[Any, ...]]  # a product, and what it takes beside vectors


@dataclass(frozen=True)
class Question:
    """What is to be picked, for one run; picklable.

    Attributes:
        objective: whose first micro-batch is computed.
        products: of the run; the first is timed.
        plan: picked where nothing is faster; its memory holds for all.
        methods: to choose from.
        layouts: of images to choose from, as values of channels_last.
        workers: that share the data out, at least 1.
        micro_batch: samples at a time; None: the rule by device type.
        on_cpu: whether the workers compute there, even where this process sees a GPU.
    """

    objective: Objective
    products: Sequence[Uses]
    plan: ProductPlan
    methods: Sequence[str] = METHODS
    layouts: Sequence[bool] = (True, False)
    workers: int = 1
    micro_batch: int | None = None
    on_cpu: bool = True


def pick(question: Question) -> tuple[ProductPlan, dict[str, float]]:
    """The plan whose products are fastest on a micro-batch of the run's own data, and the seconds of each, by name.

    "kept" counts by the share of the data whose linearisations fit into memory; the rest is made afresh. Forward over
    reverse takes part where it agrees with double backward for every product.

    Cost: five products of one micro-batch a method, twice that for images.

    Raises:
        InputError: an operation of the model has no second derivative.
    """
    device = torch.device("cpu") if question.on_cpu else default_device()
    with measuring(device, question.objective.dtype):
        return _pick(replace(question, objective=Placed(device)(question.objective)), device)


def _pick(q: Question, device: torch.device) -> tuple[ProductPlan, dict[str, float]]:
    objective = q.objective
    size = q.micro_batch or default_micro_batch(device.type)
    x, y = (array[:size] for array in objective.data.block(0))
    inputs, targets = objective.tensors(x, y, device)
    forward = "forward_over_reverse" in q.methods and _forward_is_right(q)
    plans, seconds = {}, {}
    images = objective.habits.channels_last
    for channels_last in q.layouts if images else q.layouts[:1]:
        laid = inputs.to(memory_format=torch.channels_last) if channels_last and images else inputs
        for method, expected in _seconds(q, Batch(laid, targets, 0), device, forward).items():
            plan = ProductPlan(method, q.plan.memory, channels_last)
            name = method if channels_last else f"{method}, channels first"
            plans[name], seconds[name] = plan, expected
    best = min(seconds, key=lambda name: seconds[name])
    given = next((name for name, plan in plans.items() if plan == q.plan), best)
    return plans[best if seconds[best] < GAIN * seconds[given] else given], seconds


def _seconds(q: Question, batch: Batch, device: torch.device, forward: bool) -> dict[str, float]:
    """Of one product on the micro-batch, by each method in question."""
    product, arguments = q.products[0]
    v_1P = torch.ones(1, q.objective.parameters, dtype=q.objective.dtype, device=device)
    linear = product.linearise(q.objective, batch)
    works: dict[str, Callable[[], Any]] = {
        "double_backward": lambda: product(q.objective, batch, v_1P, *arguments),
        "kept": lambda: linear(v_1P, *arguments),
    }
    if forward:
        works["forward_over_reverse"] = lambda: product.forward(q.objective, batch, v_1P, *arguments)
    seconds = _fastest(works)
    share = _share_kept(q, held_bytes(linear.roots) * q.objective.samples / len(batch.x), device)
    seconds["kept"] = share * seconds["kept"] + (1 - share) * seconds["double_backward"]
    return {method: seconds[method] for method in q.methods if method in seconds}


def _fastest(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of the fastest of a few calls each, taken in turn after one that meets everything for the first time."""
    seconds = dict.fromkeys(works, float("inf"))
    for round_ in range(REPEATS + 1):
        for name, work in works.items():
            began = clock()
            work()[0].cpu()  # a GPU answers before it is done
            if round_:
                seconds[name] = min(seconds[name], clock() - began)
    return seconds


def _share_kept(q: Question, needed: float, device: torch.device) -> float:
    """Of the data, whose linearisations take so many bytes in all; "auto" is a machine's memory, or a GPU's each."""
    if isinstance(q.plan.memory, int):
        held: float = q.plan.memory * q.workers
    else:
        held = SHARE * (available_memory(device) or 0) * (q.workers if device.type == "cuda" else 1)
    return min(1.0, held / needed) if needed else 1.0


def _forward_is_right(q: Question) -> bool:
    try:
        for product, arguments in q.products:
            require_forward_mode(q.objective, product, *arguments)
    except InputError:
        return False
    return True
