"""What a warm start saves: products of the eigenpairs of every checkpoint of one training, cold and warm.

    python -m tests.benchmarks.warm_start [MODEL] [DTYPE]

600 digits, k = 10, tol = 1e-3, checkpoints evenly spaced in log(step). Products are all of them: the run's, the
certificate's and those of the check for missed copies, which begins from random vectors in either case. Counts do not
depend on the machine but for rounding. Prints Markdown.
"""

from __future__ import annotations

import sys

import torch

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.results import Eigenpairs
from distlandscape.runtime import LocalRunner
from distlandscape.training import checkpoint_steps, train

MODELS = ("mlp", "cnn")
DTYPES = ("float32", "float64")
STEPS, COUNT = 500, 22  # the first steps coincide: 20 are left


def checkpoints(objective: dl.Objective) -> dict[int, dict[str, torch.Tensor]]:
    """The weights of one training by step."""
    kept: dict[int, dict[str, torch.Tensor]] = {}
    train(
        objective,
        steps=STEPS,
        seed=0,
        learning_rate=0.1,
        momentum=0.9,
        batch_size=128,
        keep_at=checkpoint_steps(STEPS, COUNT),
        keep=lambda step, model: kept.update({step: {k: v.detach().clone() for k, v in model.state_dict().items()}}),
        report=lambda *_: None,
    )
    return kept


def measure(name: str, dtype: str) -> None:
    """Print the table of one network."""
    store = dl.data.load_source("digits", samples=600, blocks=4)
    model = build_model(name, (1, 8, 8), 10, {}, seed=0).to(getattr(torch, dtype))
    objective = dl.Objective(model, store, dtype=getattr(torch, dtype))
    kept = checkpoints(objective)
    print(f"\n{name}, {dtype}, P = {objective.parameters:,}, {len(kept)} checkpoints\n")
    print("| step | products cold | of them the run | products warm | of them the run |\n|---|---|---|---|---|")
    totals = [0] * 4
    cold: Eigenpairs | None = None
    warm: Eigenpairs | None = None
    for step, state in kept.items():
        H = dl.Hessian(objective.with_weights(state), LocalRunner())
        cold = dl.top_eigenpairs(H, 10, 1e-3)
        warm = dl.top_eigenpairs(H, 10, 1e-3, start=warm) if warm is not None else cold
        counts = [cold.passes, cold.steps, warm.passes, warm.steps]
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        print(f"| {step} | {' | '.join(map(str, counts))} |", flush=True)
    print(f"| sum | {' | '.join(map(str, totals))} |")


def main() -> None:
    """Measure what was named, or all."""
    torch.set_num_threads(1)
    for name in [arg for arg in sys.argv[1:] if arg in MODELS] or MODELS:
        for dtype in [arg for arg in sys.argv[1:] if arg in DTYPES] or DTYPES:
            measure(name, dtype)


if __name__ == "__main__":
    main()
