"""The top ten eigenpairs and a density beside the packages people use, in gradient passes over the same data.

    make bench-peers
    python -m tests.benchmarks.peers NAME [PEER …]   one of: cnn, resnet20, density

The unit is torch's own loop over the same batches: forward, loss, backward. It is timed before and after each method by
the processor time of this process, with one thread, so that the machine's speed and its other users cancel. Residuals
are true ones, by double backward in float64. Fashion-MNIST, after a short training. Prints Markdown.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from curvlinops import HessianLinearOperator
from hessian_eigenthings import HessianOperator, lanczos, supervised_loss
from hessian_eigenthings import spectral_density as their_density
from pyhessian import hessian as pyhessian
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.nn.functional import cross_entropy

import distlandscape as dl
from distlandscape.data import BlockStore
from distlandscape.models import build_model
from distlandscape.runtime import LocalRunner

K, TOL = 10, 1e-3
SAMPLES = {"cnn": 5000, "resnet20": 1024}
BATCH = 320  # the last one is smaller
DRAWS, STEPS = 4, 80
Pairs = tuple[np.ndarray, np.ndarray, int]  # eigenvalues (K), vectors (K, P), products


def cnn() -> nn.Module:
    """Three strided 3×3 convolutions and a linear layer, 33,546 parameters."""
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 10))


class Task:
    """A net after a short training, its data in batches, and what a product costs torch itself."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self.model = cnn() if name == "cnn" else build_model("resnet20", (1, 28, 28), 10, {}, seed=0)
        whole = dl.data.load_source("fashion_mnist")
        pixels, y = whole.take(np.arange(SAMPLES[name]))
        x = pixels.astype(np.float32) / 255
        self.x, self.y = torch.tensor(x), torch.tensor(y)
        self.batches = list(zip(self.x.split(BATCH), self.y.split(BATCH), strict=True))
        optimizer = torch.optim.SGD(self.model.parameters(), 0.05, momentum=0.9)
        for _ in range(5 if name == "cnn" else 10):
            for inputs, labels in self.batches:
                optimizer.zero_grad()
                cross_entropy(self.model(inputs), labels).backward()
                optimizer.step()
        self.model.eval()
        self.parameters = list(self.model.parameters())
        self.dim = sum(p.numel() for p in self.parameters)
        self.objective = dl.Objective(self.model, BlockStore.from_arrays(x, y))

    def gradient(self) -> None:
        """One pass."""
        for inputs, labels in self.batches:
            torch.autograd.grad(cross_entropy(self.model(inputs), labels), self.parameters)

    def product(self, v: torch.Tensor, model: nn.Module | None = None) -> torch.Tensor:
        """H v of the mean loss by double backward, in the precision of v."""
        model = model or self.model
        parameters = list(model.parameters())
        pieces = [s.view_as(p) for s, p in zip(v.split([p.numel() for p in parameters]), parameters, strict=True)]
        total = torch.zeros_like(v)
        for inputs, labels in self.batches:
            loss = cross_entropy(model(inputs.to(v.dtype)), labels, reduction="sum") / len(self.y)
            slopes = torch.autograd.grad(loss, parameters, create_graph=True)
            total += torch.cat([h.flatten() for h in torch.autograd.grad(slopes, parameters, pieces)])
        return total

    @functools.cached_property
    def precise(self) -> nn.Module:
        """The net in float64."""
        copy = cnn() if self.dim == 33_546 else build_model("resnet20", (1, 28, 28), 10, {}, seed=0)
        copy.load_state_dict(self.model.state_dict())
        return copy.double().eval()

    def residuals(self, values: np.ndarray, V_KP: np.ndarray) -> np.ndarray:
        """‖Hv − λv‖ / |λ| of unit vectors, in float64."""
        out = []
        for value, v in zip(values, V_KP, strict=True):
            unit = torch.tensor(v, dtype=torch.float64)
            unit = unit / unit.norm()
            out.append(float((self.product(unit, self.precise) - value * unit).norm()) / abs(value))
        return np.array(out)


def ours(task: Task) -> Pairs:
    """This package, in this process."""
    pairs = dl.top_eigenpairs(dl.Hessian(task.objective, LocalRunner()), K, TOL)
    task.own_steps = pairs.steps
    return pairs.eigenvalues, pairs.eigenvectors.numpy(), pairs.passes


def arpack(operator: LinearOperator) -> Pairs:
    """SciPy's implicitly restarted Lanczos."""
    values, V_PK = eigsh(operator, K, which="LA", tol=TOL)
    return values[::-1], V_PK.T[::-1], 0


def double_backward(task: Task) -> Pairs:
    """Double backward by hand, ARPACK."""
    count = 0

    def product(v: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return task.product(torch.tensor(v, dtype=torch.float32).flatten()).numpy()

    values, V_KP, _ = arpack(LinearOperator((task.dim, task.dim), product, dtype=np.float32))
    return values, V_KP, count


def curvlinops(task: Task) -> Pairs:
    """Curvlinops' operator, ARPACK."""
    loss = nn.CrossEntropyLoss()
    operator = HessianLinearOperator(task.model, loss, task.parameters, task.batches, check_deterministic=False)
    return arpack(operator.to_scipy())


def eigenthings_operator(task: Task) -> HessianOperator:
    """As its documentation has it."""
    return HessianOperator(task.model, task.batches, supervised_loss(cross_entropy))


def hessian_eigenthings(task: Task) -> Pairs:
    """Its Lanczos, with the fewest steps, by tens, at which it calls all pairs converged; only that run is timed."""
    found = lanczos(eigenthings_operator(task), k=K, max_iter=task.their_steps, tol=TOL, which="LA", seed=0)
    return found.eigenvalues.numpy(), found.eigenvectors.numpy(), found.iterations


def steps_of_eigenthings(task: Task) -> int:
    """See hessian_eigenthings."""
    for steps in range(20, 200, 10):
        found = lanczos(eigenthings_operator(task), k=K, max_iter=steps, tol=TOL, which="LA", seed=0)
        if bool(found.converged.all()):
            break
    return steps


def power_iteration(task: Task) -> Pairs:
    """PyHessian, at most 100 iterations a pair."""
    values, vectors = pyhessian(task.model, nn.CrossEntropyLoss(), dataloader=task.batches, cuda=False).eigenvalues(
        maxIter=100, tol=TOL, top_n=K
    )
    return np.array(values), np.stack([torch.cat([p.flatten() for p in v]).numpy() for v in vectors]), 0


METHODS: dict[str, Callable[[Task], Pairs]] = {
    "distlandscape": ours,
    "double backward, ARPACK": double_backward,
    "curvlinops, ARPACK": curvlinops,
    "hessian-eigenthings": hessian_eigenthings,
    "PyHessian": power_iteration,
}


def seconds(call: Callable[[], object]) -> tuple[float, object]:
    """Processor time of a call, and its result."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def unit(task: Task) -> float:
    """Processor time of a gradient pass: the median of five."""
    return float(np.median([seconds(task.gradient)[0] for _ in range(5)]))


def in_gradients(task: Task, call: Callable[[], object]) -> tuple[float, object]:
    """Time of a call over that of a gradient pass beside it."""
    before = unit(task)
    taken, result = seconds(call)
    return taken / ((before + unit(task)) / 2), result


def pairs(name: str, chosen: list[str]) -> None:
    """The table of the top ten."""
    task = Task(name)
    task.gradient()
    print(f"\n{name}, P = {task.dim:,}, {len(task.y):,} images, top {K} to {TOL:g}\n")
    task.own_steps = 0
    print("| package | gradients | products | worst true residual | λ₁ | λ₁₀ |\n|---|---|---|---|---|---|", flush=True)
    for package, method in METHODS.items():
        if chosen and package not in chosen:
            continue
        if method is hessian_eigenthings:
            task.their_steps = steps_of_eigenthings(task)
        cost, (values, V_KP, products) = in_gradients(task, functools.partial(method, task))
        worst = task.residuals(values, V_KP).max()
        ends = f"{values[0]:.4g} | {values[-1]:.4g}"
        print(f"| {package} | {cost:.0f} | {products or ''} | {worst:.1e} | {ends} |", flush=True)
    if task.own_steps:
        print(f"\nOf ours {task.own_steps} found the pairs, 1 certified them, the others looked for missed copies.")


def density() -> None:
    """Time on the cnn, and error on a net small enough for all its eigenvalues."""
    task = Task("cnn")
    task.gradient()
    calls = {
        "distlandscape": lambda: dl.spectral_density(dl.Hessian(task.objective, LocalRunner()), DRAWS, STEPS),
        "hessian-eigenthings": lambda: their_density(
            eigenthings_operator(task), num_runs=DRAWS, lanczos_steps=STEPS, seed=0
        ),
    }
    print(f"\nDensity of the cnn, {DRAWS} draws × {STEPS} steps\n\n| package | gradients |\n|---|---|", flush=True)
    cost = {name: in_gradients(task, call)[0] for name, call in calls.items()}
    for name, gradients in cost.items():
        print(f"| {name} | {gradients:.0f} |")
    print(f"\nRatio {cost['distlandscape'] / cost['hessian-eigenthings']:.2f}\n")
    errors()


def errors() -> None:
    """Wasserstein distance to the exact spectrum over its range, eight seeds, 1,000 digits in one batch."""
    model = build_model("mlp", (1, 8, 8), 10, {"hidden": [16]}, seed=0)
    pixels, y = map(torch.tensor, dl.data.load_source("digits").take(np.arange(1000)))
    x = pixels.float() / pixels.max()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(100):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    objective = dl.Objective(model, BlockStore.from_arrays(x.numpy(), y.numpy()))
    H = dl.Hessian(objective)
    exact = torch.linalg.eigvalsh(H.apply(torch.eye(objective.parameters)).double()).numpy()
    theirs = HessianOperator(model, [(x, y)], supervised_loss(cross_entropy))
    found: dict[str, list[float]] = {"distlandscape": [], "hessian-eigenthings": []}
    for seed in range(8):
        mine = dl.spectral_density(H, DRAWS, STEPS, seed)
        found["distlandscape"].append(wasserstein(mine.nodes, mine.weights, exact))
        other = their_density(theirs, num_runs=DRAWS, lanczos_steps=STEPS, seed=100 * seed)
        weights = (other.raw_weights / DRAWS).flatten().numpy()
        nodes = np.nan_to_num(other.raw_eigenvalues.flatten().numpy())
        found["hessian-eigenthings"].append(wasserstein(nodes, weights, exact))
    print(f"Error on an mlp of {objective.parameters:,} parameters\n\n| package | median | worst of 8 |\n|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {np.median(values):.2e} | {max(values):.2e} |")


def wasserstein(nodes: np.ndarray, weights: np.ndarray, exact: np.ndarray) -> float:
    """Area between two distribution functions over the range of the spectrum."""
    at = np.sort(np.concatenate([nodes, exact]))
    order = np.argsort(nodes)
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    ours = total[np.searchsorted(nodes[order], at[:-1], side="right")]
    theirs = np.searchsorted(exact, at[:-1], side="right") / len(exact)
    return float(np.sum(np.abs(ours - theirs) * np.diff(at)) / np.ptp(exact))


def main(name: str = "", *chosen: str) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    for each in [name] if name else ["cnn", "resnet20", "density"]:
        density() if each == "density" else pairs(each, list(chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
