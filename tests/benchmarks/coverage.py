"""How often 95 % intervals of the estimators hold the truth, on rotated indefinite operators of 20,000 dimensions.

Run with ``python -m tests.benchmarks.coverage``; prints Markdown. A share of 200 seeds has a standard error of 1.5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import dct, idct
from torch import Tensor

from distlandscape.results import Eigenpairs, Estimate
from distlandscape.spectral import index, spectral_density, top_eigenpairs, trace, trace_and_frobenius
from distlandscape.spectral.driver import TensorSpace

DIM, SEEDS, PROBES, DRAWS, STEPS = 20_000, 200, 16, 2, 40
Array = npt.NDArray[np.float64]


class Rotated:
    """Given eigenvalues, with random signs and cosine transforms, twice, for eigenvectors: no entry stands out.

    A diagonal matrix would not do: sign probes have no variance on it.
    """

    def __init__(self, values: Array, seed: int = 0) -> None:
        self.values = values
        self.space = TensorSpace(len(values), torch.float32)
        self._signs = np.where(np.random.default_rng(seed).random((2, len(values))) < 0.5, -1, 1).astype(np.float32)

    def apply(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        rows = np.stack([v.numpy() for v in vectors])
        for signs in self._signs:
            rows = dct(rows * signs, norm="ortho")
        rows *= self.values.astype(np.float32)
        for signs in self._signs[::-1]:
            rows = idct(rows, norm="ortho") * signs
        return list(torch.from_numpy(rows))


def spectra() -> dict[str, Array]:
    """Indefinite spectra, from a net's to the two extremes."""
    rng, order = np.random.default_rng(1), np.arange(1, DIM + 1)
    signs = np.where(order % 3 == 0, -1.0, 1.0)
    net = 0.05 * rng.gamma(0.25, 1.0, DIM) * rng.choice([1.0, -0.4], DIM, p=[0.7, 0.3])
    net[:20], net[20:25] = np.geomspace(20, 1, 20), -np.geomspace(5, 1, 5)
    return {
        "outliers and bulk": net,
        "power law 1/i": signs * 10 / order,
        "geometric 0.8^i": signs * 0.8 ** np.minimum(order, 200.0),
        "level": signs * rng.uniform(0.5, 1.0, DIM),
    }


def row(name: str, what: str, found: Sequence[Estimate], exact: float) -> str:
    """Coverage, and the standard error the estimates state over the error they have."""
    covered = np.mean([low <= exact <= high for low, high in (e.interval() for e in found)])
    error = np.sqrt(np.mean([(e.value - exact) ** 2 for e in found]))
    stated = np.sqrt(np.mean([e.stderr**2 for e in found]))
    return f"| {name} | {what} | {exact:.4g} | {error:.2g} | {stated / error:.2f} | {100 * covered:.1f} % |"


def trace_rows(name: str, operator: Rotated, known: Eigenpairs) -> list[str]:
    """Trace by every method, and the norm, with and without known pairs."""
    total, norm = float(operator.values.sum()), float(np.linalg.norm(operator.values))
    calls: dict[str, tuple[Callable[[int], Estimate], float]] = {
        "trace, Hutchinson": (lambda s: trace(operator, PROBES, s), total),
        "trace, Hutchinson, deflated": (lambda s: trace(operator, PROBES, s, known=known), total),
        "trace, XTrace": (lambda s: trace(operator, PROBES, s, method="xtrace"), total),
        "trace, XTrace, deflated": (lambda s: trace(operator, PROBES, s, method="xtrace", known=known), total),
        "norm, deflated": (lambda s: trace_and_frobenius(operator, PROBES, s, known=known)[1], norm),
    }
    return [row(name, what, [call(s) for s in range(SEEDS)], exact) for what, (call, exact) in calls.items()]


def index_row(name: str, operator: Rotated, known: Eigenpairs) -> str:
    """Number of negative eigenvalues: its band holds the truth, and how wide it is."""
    exact = int((operator.values < 0).sum())
    found = [index(spectral_density(operator, DRAWS, STEPS, s, known=known)) for s in range(SEEDS)]
    covered = np.mean([i.low <= exact <= i.high for i in found])
    error = np.sqrt(np.mean([(i.value - exact) ** 2 for i in found]))
    width = np.mean([i.high - i.low for i in found])
    return f"| {name} | {exact:,} | {error:,.0f} | {width:,.0f} | {100 * covered:.1f} % |"


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    operators = {name: Rotated(values) for name, values in spectra().items()}
    known = {name: top_eigenpairs(operator, (20, 5), 1e-2, "BE", max_steps=120) for name, operator in operators.items()}
    print(f"{DIM:,} dimensions, {PROBES} products, {SEEDS} seeds, 95 % intervals; deflated by 20 + 5 pairs\n")
    print("| spectrum | estimate | exact | error | stated / true error | covers |\n|---|---|---|---|---|---|")
    for name, operator in operators.items():
        print("\n".join(trace_rows(name, operator, known[name])), flush=True)
    print(f"\nNegative eigenvalues by {DRAWS} draws of {STEPS} steps beside the same pairs\n")
    print("| spectrum | exact | error | width of the band | covers |\n|---|---|---|---|---|")
    for name, operator in operators.items():
        print(index_row(name, operator, known[name]), flush=True)


if __name__ == "__main__":
    main()
