"""``runtime.tune`` in a study: what is asked of the probe, and what its answer becomes."""

from __future__ import annotations

from typing import Any

from distlandscape.config import RunConfig, validate_config
from distlandscape.curvature import gauss_newton_products, hessian_products, residual_products
from distlandscape.curvature.product import Product
from distlandscape.objective import Objective
from distlandscape.runtime import Pool
from distlandscape.runtime.operators import CurvatureOperator
from distlandscape.runtime.plan import METHODS, ProductPlan
from distlandscape.runtime.tune import Question, Uses, pick
from distlandscape.studies.progress import Progress

PLAIN = ProductPlan()


def tuned(
    config: RunConfig, objective: Objective, operator: CurvatureOperator | None = None
) -> tuple[RunConfig, dict[str, Any] | None]:
    """A resolved configuration with the method of products picked by a probe, and the seconds that decided.

    The pick is part of the configuration a run records: a resume, or a run of the recorded file, finds it there as a
    setting of the user's, and times nothing. What was set is not picked; where nothing is left to pick, the
    configuration stays as it is and there are no seconds.

    The probe runs where products will: in this process, or for GPUs in a worker of its own, which is ended after it.

    Args:
        config: resolved.
        objective: of the run.
        operator: whose products are timed; None: the Hessian's.

    Raises:
        InputError: an operation of the model has no second derivative.
        WorkerFailure: the cluster has no room for a worker.
    """
    r = config.runtime
    if r.product is not None and r.channels_last is not None:
        return config, None
    mine: list[Uses] = []
    if operator is not None:
        product = type(operator).products
        assert isinstance(product, Product), "every operator with a choice of methods has one"
        mine = [(product, operator.arguments)]
    question = Question(
        objective=objective,
        products=[*mine, (hessian_products, ()), (gauss_newton_products, ()), (residual_products, ())],
        plan=ProductPlan(
            r.product or PLAIN.method, r.memory, PLAIN.channels_last if r.channels_last is None else r.channels_last
        ),
        methods=METHODS if r.product is None else (r.product,),
        layouts=(PLAIN.channels_last, not PLAIN.channels_last) if r.channels_last is None else (r.channels_last,),
        workers=max(1, r.workers),
        micro_batch=r.micro_batch,
        on_cpu=r.workers > 0 and not r.gpus_per_worker,
    )
    with Progress() as progress:
        progress.update("timing the methods of products")
        if r.workers and r.gpus_per_worker:
            with Pool(1, r.cpus_per_worker, r.gpus_per_worker, r.threads) as pool:
                plan, seconds = pool.map_tasks(pick, [question])[0]
        else:
            plan, seconds = pick(question)
        chosen = plan.method + ("" if plan.channels_last else ", channels first")
        timings = ", ".join(f"{name} {1000 * value:.3g} ms" for name, value in seconds.items())
        progress.say(f"runtime.tune picked {chosen} by the time of a micro-batch: {timings}")
    tree = config.model_dump(mode="json")
    tree["runtime"] |= {"product": plan.method, "channels_last": plan.channels_last}
    return validate_config(tree), {"picked": chosen, "seconds": seconds}
