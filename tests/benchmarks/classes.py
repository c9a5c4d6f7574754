"""The tables of docs/results-classes.md: class geometry of small networks before, amid and after training (Markdown).

``python -m tests.benchmarks.classes [FOLDER [CASE]]`` runs the studies in FOLDER (results/classes) and prints the
tables of all cases, or of those with CASE in their name (mlp, resnet20, …);
``python -m tests.benchmarks.classes --large`` prints time and memory of the hierarchy at C = 100, P = 10⁶, N = 2,000.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

import distlandscape as dl
from distlandscape.config import load_config
from distlandscape.data import load_source
from distlandscape.models import build_model
from distlandscape.objective import Objective
from distlandscape.report import make_report
from distlandscape.runtime import LocalRunner, loss_accuracy_gradient
from distlandscape.runtime.clustering import clustering
from distlandscape.runtime.hierarchy import BetweenLogits, class_means, level_traces, weighted_eigenvalues
from distlandscape.spectral import top_eigenpairs
from distlandscape.studies.clustering import holds, ratio
from distlandscape.studies.runner import run_study

CASES = {
    "digits, mlp 32-32": ["data.source=digits", "model.name=mlp"],
    "Fashion-MNIST, 2,000 images, mlp 32-32": ["data.source=fashion_mnist", "data.samples=2000", "model.name=mlp"],
    "Fashion-MNIST, 2,000 images, cnn 8-16": ["data.source=fashion_mnist", "data.samples=2000", "model.name=cnn"],
    "Fashion-MNIST, 1,000 images, resnet20": [
        "data.source=fashion_mnist", "data.samples=1000", "data.scaling=standard", "model.name=resnet20"
    ],
}  # fmt: skip
TRAINING = ["train.steps=500", "train.learning_rate=0.05", "train.checkpoints=5", "runtime.workers=0"]
HIERARCHY = ["train.steps=0", "hierarchy.tol=1e-2", "runtime.workers=0"]


def line(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*names: str) -> None:
    line(*names)
    line(*["---"] * len(names))


def case(name: str, keys: list[str], out: Path) -> None:
    print(f"\n### {name}\n")
    study = run_study("clustering", load_config(None, [*keys, *TRAINING]), out, make_report)
    rows = dl.open_run(study.run.path).table("checkpoints").to_pylist()
    names = ("q_slsc", "q_sldc", "q_sl", "q_dl", "q_dl_same_sample")
    head("step", "accuracy", *names, "q_sl/abs(q_dl)", "ordering holds", "length ± sd", "σ_z/σ_z*", "E Σp² (Gaussian)")
    for row in rows:
        line(
            row["step"],
            f"{row['accuracy']:.3f}",
            *(f"{row[n]:.3f}" for n in names),
            f"{ratio(row):.1f}",
            "yes" if holds(row) else "no",
            f"{row['length_mean']:.3g} ± {row['length_sd']:.2g}",
            f"{row['sigma_z_over_scale']:.3f}",
            f"{row['sum_p2']:.3f} ({row['sum_p2_gaussian']:.3f})",
        )
    print()
    found = []
    for row in (rows[0], rows[-2], rows[-1]):
        weights = study.run.path / "weights" / f"step-{row['step']:06d}.safetensors"
        config = load_config(None, [*keys, *HIERARCHY, f"model.weights={weights}"])
        found.append((row["step"], run_study("hierarchy", config, out, make_report)))
    head("step", "Tr G", "G0", "G1", "G2", "G3", "λ₁(H)", "λ₁(G0)", "λ₁(G1)", "λ₁(G2)", "gap after", "status")
    for step, outcome in found:
        r, total = outcome.result, outcome.result["traces"]["total"]
        shares = [f"{100 * value / total:.1f} %" for value in r["traces"]["levels"]]
        tops = [f"{r[n][0]:.3g}" for n in ("eigenvalues", "g0", "g1", "g2")]
        line(step, f"{total:.4g}", *shares, *tops, r["outliers"] or "no gap", r["status"])
    print("\nOutliers of the Hessian: the nearest class mean μ_cc (cos²), share in the span of all μ_cc / all μ_c.\n")
    head("rank", *(f"step {step}" for step, _ in found))
    for i in range(12):
        columns = ("eigenvalues", "belongs_to", "own_cosine", "own_span", "across_span")
        cells = [[outcome.result[n][i] for n in columns] for _, outcome in found]
        line(i + 1, *(f"{v:.3g}: class {c} ({q:.2f}), {s:.2f} / {a:.2f}" for v, c, q, s, a in cells))


def cost() -> None:
    """Clustering of 10,000 images on the small cnn, in gradient passes of the same samples."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((10_000, 1, 28, 28)).astype("f4"), rng.integers(0, 10, 10_000)
    objective = Objective(build_model("cnn", (1, 28, 28), 10, {}, seed=0), (x, y))
    runner = LocalRunner(threads=1)
    seconds = []
    for measure in (loss_accuracy_gradient, loss_accuracy_gradient, clustering):
        began = time.process_time()
        measure(objective, runner)
        seconds.append(time.process_time() - began)
    print("\n### Cost\n")
    head("10,000 images, cnn, P = 9,098, one thread", "processor seconds", "gradient passes")
    line("gradient", f"{seconds[1]:.2f}", 1)
    line("clustering, C = 10", f"{seconds[2]:.2f}", f"{seconds[2] / seconds[1]:.1f}")


def large() -> None:
    """C = 100, P = 10⁶, 2,000 samples: every part of the hierarchy, and the largest resident set."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2000, 900)).astype("f4"), np.arange(2000) % 100
    objective = Objective(build_model("mlp", (900,), 100, {"hidden": [1000]}, seed=0), (x, y))
    runner = LocalRunner(threads=1)
    print(
        f"\n### Large: C = 100, P = {objective.parameters:,}, N = 2,000, {objective.data.blocks} blocks, one thread\n"
    )
    head("part", "processor seconds", "largest resident set so far, GB")

    def told(name: str, began: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        line(name, f"{time.process_time() - began:.0f}", f"{peak:.2f}")

    began = time.process_time()
    means = class_means(objective, runner)
    told("means μ_cc and μ_c", began)
    began = time.process_time()
    weighted_eigenvalues(means.own, means.own_weights)
    weighted_eigenvalues(means.across, means.across_weights)
    told("Gram matrices of G0 and G1", began)
    began = time.process_time()
    traces = level_traces(objective, means, runner, probes=16)
    told(f"traces ({traces.probes} probes)", began)
    began = time.process_time()
    pairs = top_eigenpairs(BetweenLogits(objective, runner), 3, 1e-2, max_steps=30)
    told(f"3 eigenpairs of G2 ({pairs.status})", began)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    if arguments == ["--large"]:
        large()
        return
    out = Path(arguments[0] if arguments else "results/classes")
    for name, keys in CASES.items():
        if arguments[1:] and arguments[1] not in name:
            continue
        if "fashion" in keys[0]:
            load_source("fashion_mnist", samples=10)  # says at once where the data are missing
        case(name, keys, out)
    if not arguments[1:]:
        cost()


if __name__ == "__main__":
    main(sys.argv[1:])
