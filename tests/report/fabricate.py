"""Run directories as the spectrum study leaves them, without the study."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.config import RunConfig
from distlandscape.record.run import Run

P, C, N = 5000, 10, 1797
TOP, LOWEST, DRAWS, STEPS = 20, 5, 2, 80
TABLES = ("eigenvalues", "density", "estimates", "checkpoints", "confinement")
STEP = (0, 1, 3, 9, 27, 81, 220, 500)


@cache
def spectrum() -> np.ndarray:
    """P eigenvalues, descending: nine outliers from 0.5 to 12, a bulk within a few per cent of that, some negative."""
    rng = np.random.default_rng(7)
    outliers = np.geomspace(12.0, 0.5, C - 1)
    bulk = 0.02 * rng.gamma(0.25, 1.0, P - C + 1) * rng.choice([1.0, -0.15], P - C + 1, p=[0.85, 0.15])
    return np.sort(np.concatenate([outliers, bulk]))[::-1]


@cache
def bulk_nodes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature nodes and weights of one draw, for what lies between the known eigenvalues."""
    values = spectrum()[TOP : P - LOWEST]
    rng = np.random.default_rng(seed)
    q = rng.standard_normal(len(values))
    basis = [q / np.linalg.norm(q)]
    alphas: list[float] = []
    betas: list[float] = []
    for _ in range(STEPS):
        w = values * basis[-1]
        alphas.append(float(w @ basis[-1]))
        stacked = np.array(basis)
        for _ in range(2):
            w = w - stacked.T @ (stacked @ w)
        betas.append(float(np.linalg.norm(w)))
        basis.append(w / betas[-1])
    nodes, vectors = np.linalg.eigh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))
    return nodes, vectors[0] ** 2


def make_run(
    out: Path,
    *,
    tables: tuple[str, ...] = TABLES,
    unconverged: int = 0,
    status: str | None = "done",
    finished: bool = True,
    checkpoints: int = len(STEP),
    **texts: Any,
) -> Run:
    """A run directory with the given tables; the last ``unconverged`` pairs of the top end have not converged."""
    values = spectrum()
    config = RunConfig.model_validate(
        {
            "spectrum": {"k": TOP, "lowest": LOWEST},
            "train": {"steps": 500, "checkpoints": len(STEP)},
            "tracking": {"uri": "https://me:secret-word@tracking.example/x"},
        }
    ).model_dump(mode="json")
    identity = {"git_commit": "a1b2c3d", "versions": {"torch": "2.13.0", "python": "3.11"}, **texts}
    run = Run.create(out, "spectrum", config, identity)
    run.log.append("started")
    made = {**_spectral_tables(values, unconverged), **_training_tables(values, checkpoints)}
    for name in tables:
        run.write_table(name, made[name])
    if finished:
        run.write_result(_result(run, values, made, unconverged, texts))
    if status is not None:
        run.log.append("ended", status=status, detail="the machine went away" if status == "failed" else None)
    return run


def _spectral_tables(values: np.ndarray, unconverged: int) -> dict[str, pa.Table]:
    rng = np.random.default_rng(8)
    ends = np.concatenate([values[:TOP], values[::-1][:LOWEST]])
    residuals = np.abs(ends) * 10 ** rng.uniform(-6, -3.1, len(ends))
    converged = np.ones(len(ends), dtype=bool)
    late = slice(TOP - unconverged, TOP)
    residuals[late], converged[late] = np.abs(ends[late]) * rng.uniform(0.005, 0.5, unconverged), False
    draws = [bulk_nodes(seed) for seed in range(DRAWS)]
    share = (1 - len(ends) / P) / DRAWS
    trace = float(values.sum())
    return {
        "eigenvalues": pa.table(
            {
                "end": ["top"] * TOP + ["lowest"] * LOWEST,
                "index": [*range(TOP), *range(LOWEST)],
                "eigenvalue": ends,
                "residual": residuals,
                "converged": converged,
            }
        ),
        "density": pa.table(
            {
                "draw": np.concatenate([np.full(len(ends), -1), np.repeat(np.arange(DRAWS), STEPS)]),
                "node": np.concatenate([ends, *(nodes for nodes, _ in draws)]),
                "weight": np.concatenate([np.full(len(ends), 1 / P), *(share * weights for _, weights in draws)]),
            }
        ),
        "estimates": pa.table(
            {
                "quantity": ["trace", "frobenius"],
                "value": [trace, float(np.linalg.norm(values))],
                "stderr": [0.012 * trace, 0.004],
                "probes": [16, 16],
            }
        ),
    }


def _training_tables(values: np.ndarray, count: int) -> dict[str, pa.Table]:
    step = np.array(STEP[:count], dtype=float)
    t = np.log1p(step) / np.log(501)
    names = ("checkpoint", "step", "k", "label", "fraction", "null_uniform", "null_share", "null_share_stderr")
    rows: dict[str, list[Any]] = {name: [] for name in names}
    for index in range(count):
        for k, label in ((C - 1, "C-1"), (C, "C"), (10, "10")):
            fraction = 0.12 + 0.75 * t[index] ** 0.6 + (0.01 if k == C else 0) + 0.02 * np.sin(5 * t[index])
            share = 0.10 + 0.5 * t[index] + (0.02 if k == C else 0)
            entries = (index, int(step[index]), k, label, fraction, k / P, share, 0.03 * share)
            for name, entry in zip(rows, entries, strict=True):
                rows[name].append(entry)
    return {
        "checkpoints": pa.table(
            {
                "checkpoint": range(count),
                "step": step.astype(int),
                "loss": 2.31 * np.exp(-6 * t**2),
                "accuracy": 0.1 + 0.89 * t**1.5,
                "gradient_norm": 1.1 * np.exp(-4 * t),
                "lambda_max": values[0] * (0.3 + 3.2 * t * np.exp(-1.6 * t)),
            }
        ),
        "confinement": pa.table(rows),
    }


def _result(
    run: Run, values: np.ndarray, made: dict[str, pa.Table], unconverged: int, texts: dict[str, Any]
) -> dict[str, Any]:
    rows = made["eigenvalues"].to_pylist()
    top, low = rows[:TOP], rows[TOP:]
    trace, frobenius = made["estimates"].to_pylist()
    count = TOP + LOWEST
    remedy = f"{count - unconverged} of {count} pairs converged: raise spectrum.max_steps"
    return {
        "run_id": run.run_id,
        "run_dir": str(run.path),
        "report": str(run.path / "report.html"),
        "eigenvalues": [row["eigenvalue"] for row in top],
        "residuals": [row["residual"] for row in top],
        "lowest": [row["eigenvalue"] for row in low],
        "lowest_residuals": [row["residual"] for row in low],
        "status": remedy if unconverged else "converged",
        "passes": 312,
        "parameters": P,
        "samples": N,
        "classes": C,
        "trace": {"value": trace["value"], "stderr": trace["stderr"]},
        "frobenius": {"value": frobenius["value"], "stderr": frobenius["stderr"]},
        "wall_s": 41.7,
        "workers": 2,
        "transport": "store",
        "operator": "hessian",
        "weights": str(run.path / "weights" / "step-500.safetensors"),
        "weights_sha256": "ab" * 32,
        "trust": {
            "relation": 1.3e-7,
            "orthogonality": 6.1e-8,
            "symmetry": 2.2e-8,
            "norm": float(values[0]),
            "missed_copies": "none found by 24 products in the complement",
            "missed_probability": 3.1e-4,
        },
        "provenance": {"data_digest": "cd" * 32, "seeds": {"spectrum": 0, "train": 0}},
        "data": "handwritten digits, 1,797 images of 8×8",
        "model": "mlp 64-64-10",
        **texts,
    }
