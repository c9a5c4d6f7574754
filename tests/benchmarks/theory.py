"""Tables of docs/theory.md: formulas beside simulations. Run with ``make theory-table``."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np

from distlandscape.theory import RandomModel
from tests.theory.simulations import CASES, errors
from tests.theory.test_random_model import SETS

OUTSIDE = (50, 60, 1000, 1.0, 1.0, 1.0)  # C is not far below N
SIZES = ((60, 40), (180, 40), (540, 20))
FOLDER = Path(__file__).parents[2] / "docs" / "_generated"


def spikes() -> str:
    """Errors of every spike formula at three sizes."""
    head = " | ".join(f"n = {n}" for n, _ in SIZES)
    lines = [f"| matrix | error of | {head} |", "|---|---|" + "---|" * len(SIZES)]
    for name in CASES:
        rows = np.array([errors(name, n, draws) for n, draws in SIZES]).T
        for what, row in zip(("position", "overlap", "right overlap"), rows, strict=False):
            lines.append(f"| {name} | {what} | " + " | ".join(f"{value:.3f}" for value in row) + " |")
    return "\n".join(lines) + "\n"


def random_model() -> str:
    """Predictions beside the means of twenty draws."""
    lines = ["| parameters | outliers | bulk edge | overlap | Tr/‖·‖_F | confinement |", "|---|---|---|---|---|---|"]
    for parameters in (*SETS, OUTSIDE):
        model = RandomModel(*parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the last set is outside the range on purpose
            p = model.predict()
        draws = [dataclasses.replace(model, seed=seed).sample() for seed in range(20)]
        k = model.classes - 1
        pairs = [
            (p.outlier, [d.eigenvalues[:k].mean() for d in draws]),
            (p.bulk_edge, [d.eigenvalues[k] for d in draws]),
            (p.overlap, [d.overlap for d in draws]),
            (p.trace_over_frobenius, [d.trace / d.frobenius for d in draws]),
            (p.confinement, [d.confinement for d in draws]),
        ]
        cells = [f"{predicted:.4g}, drawn {np.mean(drawn):.4g}" for predicted, drawn in pairs]
        lines.append(f"| {parameters} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "spikes.md").write_text(spikes(), encoding="utf-8")
    (FOLDER / "random-model.md").write_text(random_model(), encoding="utf-8")
    print(f"wrote {FOLDER}")
