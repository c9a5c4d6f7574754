"""The control whether training needs the top directions: descent only onto, and only out of, the top subspace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from distlandscape.objective import Objective
from distlandscape.record.run import Stage
from distlandscape.runtime import Hessian, loss_accuracy_gradient
from distlandscape.runtime.along import moved
from distlandscape.runtime.runner import Runner
from distlandscape.spectral import top_eigenpairs
from distlandscape.spectral.journal import SILENT
from distlandscape.studies.context import StudyContext

REFRESH = 10  # steps between new eigenvectors: the subspace turns along the way
VARIANTS = ("full", "onto", "out of")


def descend(
    objective: Objective,
    variant: str,
    steps: int,
    learning_rate: float,
    k: int,
    tol: float,
    seed: int,
    runner: Runner,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[list[float], int]:
    """Losses before every step and after the last one of gradient descent on all data, no momentum; and the passes.

    "onto" keeps of every gradient only what lies in the span of the top k eigenvectors of the Hessian, "out of" only
    the rest; the eigenvectors are those of every tenth point.
    """
    losses: list[float] = []
    passes = 0
    V_kP: Tensor | None = None
    for step in range(steps + 1):
        loss, _, gradient_P = loss_accuracy_gradient(objective, runner)
        losses.append(loss)
        passes += 1
        tell(f"descent, {variant}: step {step} of {steps}, loss {loss:.4f}")
        if step == steps:
            break
        if variant != "full" and step % REFRESH == 0:
            pairs = top_eigenpairs(Hessian(objective, runner), k, tol, seed=seed, journal=SILENT)
            passes += pairs.passes
            V_kP = torch.from_numpy(pairs.eigenvectors.numpy()).double()
        update_P = gradient_P.double()
        if V_kP is not None:
            inside_P = V_kP.T @ (V_kP @ update_P)
            update_P = inside_P if variant == "onto" else update_P - inside_P
        objective = moved(objective, -learning_rate * update_P)
    return losses, passes


def compare_descents(context: StudyContext, objective: Objective, step: int, learning_rate: float) -> dict[str, Any]:
    """The three descents from one checkpoint, a stage each; rows of the table ``projected``, a summary, and passes."""
    e, k = context.config.emergence, objective.outputs - 1
    rows: list[dict[str, Any]] = []
    losses: dict[str, list[float]] = {}
    passes = 0

    def stage(variant: str) -> Stage:
        def compute(_: Any) -> Stage:
            found, cost = descend(
                objective,
                variant,
                e.projected_steps,
                learning_rate,
                k,
                e.tol,
                e.seed,
                context.runner,
                context.progress.update,
            )
            return Stage({}, {"losses": found, "passes": cost})

        return context.stage(f"descent-{variant.replace(' ', '-')}", compute)

    for variant in VARIANTS:
        values = stage(variant).values
        losses[variant] = values["losses"]
        passes += values["passes"]
        rows += [{"updates": variant, "step": i, "loss": loss} for i, loss in enumerate(values["losses"])]
    full = losses["full"][0] - losses["full"][-1]
    summary = {
        "from_step": step,
        "steps": e.projected_steps,
        "before": losses["full"][0],
        "after": {variant: values[-1] for variant, values in losses.items()},
        "share_of_full": {v: (x[0] - x[-1]) / full if full > 0 else None for v, x in losses.items()},
    }
    return {"rows": rows, "summary": summary, "passes": passes}
