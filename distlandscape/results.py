"""What measurements return: frozen, with their own error bars, status and trust record.

Shapes: P parameters, k eigenpairs, D draws, M Krylov steps.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import stdtrit

from distlandscape.convergence import convergence_words
from distlandscape.display import Displayed, Shown, counted, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trust:
    """How far the numbers of one Lanczos run can be believed; every entry is measured, not assumed.

    Attributes:
        relation: ‖H(Qc) − Q T c − β c_m q_{m+1}‖ / ‖H‖ on a random unit c over the whole basis: the Lanczos
            relation, from which the residual bounds β|s| follow, and the repeatability of the product, on average.
        orthogonality: ‖QᵀQc − c‖ for the same c.
        symmetry: largest Gram-Schmidt coefficient that should vanish for a symmetric H, over ‖H‖.
        norm: ‖H‖ as the largest |Ritz value| seen.
        missed_copies: what the check for missed copies of eigenvalues concluded, in words.
        missed_probability: bound on the probability that an eigenvalue beyond the reported ends was missed.
    """

    relation: float
    orthogonality: float
    symmetry: float
    norm: float
    missed_copies: str = "not checked"
    missed_probability: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain mapping for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False, repr=False)
class Eigenpairs(Displayed):
    """Ritz pairs of a symmetric operator, largest first.

    Attributes:
        eigenvalues: (k,) descending, of the mean loss over samples.
        eigenvectors: (k, P) orthonormal rows, a tensor unless they were left where the workers keep them.
        residuals: (k,) ‖Hv − λv‖: the bound of the recurrence with what rounding adds, an estimate that is never less
            than 20·eps·‖H‖. Some eigenvalue lies within it of λ.
        converged: (k,) whether each residual met tol·|λ|, or what rounding leaves of it: see ``at_rounding``. Each
            flag says that there is such an eigenpair; that it has the rank it stands at is only right when all have
            converged.
        top: how many of the k come from the upper end (the rest are the lowest).
        status: "converged", or what is missing and the remedy.
        steps: Lanczos steps taken.
        passes: passes over the data, certification included.
        tol: asked for, relative to each |eigenvalue|.
        seed: of the random vectors; with pairs to start from, one made of theirs and the one given.
    """

    eigenvalues: Array
    eigenvectors: Any
    residuals: Array
    converged: npt.NDArray[np.bool_]
    top: int
    status: str
    steps: int
    passes: int
    tol: float
    seed: int
    trust: Trust

    @property
    def relative(self) -> Array:
        """(k,) residuals over |λ|: 0 where both are 0, infinite where λ alone is."""
        sizes = np.abs(self.eigenvalues)
        ratios = np.full(len(sizes), np.inf)
        np.divide(self.residuals, sizes, out=ratios, where=sizes > 0)
        return np.where(self.residuals > 0, ratios, 0.0)

    @property
    def at_rounding(self) -> npt.NDArray[np.bool_]:
        """(k,) whether a pair counts as converged at rounding level alone.

        Its residual is above tol·|λ|, and within 30·eps·‖H‖, less than which the precision does not resolve. Where it
        is above |λ| too, the eigenvalue is zero to rounding.
        """
        return self.converged & (self.residuals > self.tol * np.abs(self.eigenvalues))

    def to_table(self) -> pa.Table:
        """One row a pair: end, index, eigenvalue, residual, residual over |eigenvalue|, converged, at_rounding."""
        k, low = self.top, len(self.eigenvalues) - self.top
        return pa.table(
            {
                "end": ["top"] * k + ["lowest"] * low,
                "index": list(range(k)) + list(range(low - 1, -1, -1)),
                "eigenvalue": self.eigenvalues,
                "residual": self.residuals,
                "relative": self.relative,
                "converged": self.converged,
                "at_rounding": self.at_rounding,
            }
        )

    def plot(self, axes: Axes | None = None) -> Axes:
        """Eigenvalues against rank, with residuals as error bars; hollow where not converged.

        Args:
            axes: where to draw; None: a new figure of pyplot.

        Raises:
            ImportError: matplotlib is missing.
        """
        return _draw("eigenpairs", self, axes)

    def marks(self) -> dict[str, list[Any]]:
        """Plain lists for JSON: converged, at_rounding, and relative with None for infinite."""
        return {
            "converged": self.converged.tolist(),
            "at_rounding": self.at_rounding.tolist(),
            "relative": [float(ratio) if math.isfinite(ratio) else None for ratio in self.relative],
        }

    def _verdicts(self) -> list[str]:
        columns = zip(self.converged, self.at_rounding, self.relative, strict=True)
        return [convergence_words(bool(good), bool(rounding), float(ratio)) for good, rounding, ratio in columns]

    def _shown(self) -> Shown:
        low = len(self.eigenvalues) - self.top
        names = [f"λ{i + 1}" for i in range(self.top)] + [f"λ−{low - i}" for i in range(low)]
        cells = [
            (name, f"{value:.6g}", f"{residual:.1e}", verdict)
            for name, value, residual, verdict in zip(
                names, self.eigenvalues, self.residuals, self._verdicts(), strict=True
            )
        ]
        trust = self.trust
        missed = (
            "" if trust.missed_probability is None else f" (probability of a miss ≤ {trust.missed_probability:.0e})"
        )
        return Shown(
            f"Eigenpairs: {int(self.converged.sum())} of {len(cells)} converged, tol {self.tol:g}",
            ("", "eigenvalue", "residual", "converged"),
            shortened(cells[: self.top]) + shortened(cells[self.top :]),
            [
                ("status", f"{self.status}; {counted(self.steps, 'step')}, {counted(self.passes, 'pass', 'passes')}"),
                ("certificate", f"relation {trust.relation:.1e}, symmetry {trust.symmetry:.1e}"),
                ("copies", f"{trust.missed_copies}{missed}"),
            ],
        )


@dataclass(frozen=True, eq=False, repr=False)
class SpectralDensity(Displayed):
    """Stochastic Lanczos quadrature of the eigenvalue density of H; weights sum to 1.

    Eigenvalues known one by one stand as atoms of weight 1/P; the draws measure the rest.

    Attributes:
        nodes: (m,) quadrature nodes, ascending.
        weights: (m,) their weights.
        draw: (m,) which draw a node belongs to; −1 marks a known eigenvalue.
        draws: number of draws D.
        steps: Lanczos steps of each draw.
        dim: P.
        passes: passes over the data.
        seed: seed of the draws.
        status: "converged", or by how much a target error was missed; empty where none was set.
    """

    nodes: Array
    weights: Array
    draw: npt.NDArray[np.int64]
    draws: int
    steps: int
    dim: int
    passes: int
    seed: int
    status: str = ""

    def density(self, grid: npt.ArrayLike, bandwidth: float) -> Array:
        """Gaussian-smoothed density on ``grid`` (G,), per unit of eigenvalue; ``bandwidth`` is the kernel's sd."""
        if not bandwidth > 0:
            raise ValueError(f"bandwidth must be positive, not {bandwidth}; give a width in units of the eigenvalues")
        z_GM = (np.asarray(grid, dtype=np.float64)[:, None] - self.nodes[None, :]) / bandwidth
        kernel_GM = np.exp(-0.5 * z_GM**2) / (bandwidth * np.sqrt(2 * np.pi))
        return np.asarray(kernel_GM @ self.weights)

    def cumulative(self, grid: npt.ArrayLike) -> Array:
        """Share of eigenvalues ≤ each point of ``grid`` (G,), without smoothing."""
        total = np.concatenate([[0.0], np.cumsum(self.weights)])
        return np.asarray(total[np.searchsorted(self.nodes, np.asarray(grid, dtype=np.float64), side="right")])

    def mean(self) -> Estimate:
        """Mean eigenvalue Tr H / P, with the standard error over draws (nan for one draw)."""
        moments = [float(self._rest_share() * self._draw_mean(d)) for d in range(self.draws)]
        stderr = float(np.std(moments, ddof=1) / np.sqrt(self.draws)) if self.draws > 1 else float("nan")
        mean = float(self.weights @ self.nodes)
        return Estimate(mean, stderr, self.draws, self.passes, self.seed, self.draws - 1)

    def error(self) -> float:
        """What the randomness of the draws leaves open: the Wasserstein distance that one standard error makes.

        That is the standard error over draws of the cumulative function, integrated over λ, relative to the range of
        the nodes; for two draws, half their Wasserstein distance. What the steps leave unresolved, about the range
        over the number of steps, is not in it. nan for one draw; 0 where all eigenvalues are known.
        """
        if not (self.draw >= 0).any():
            return 0.0
        if self.draws < 2:
            return float("nan")
        nodes = self.nodes[self.draw >= 0]
        shares = np.where(self.draw[self.draw >= 0] == np.arange(self.draws)[:, None], self.weights[self.draw >= 0], 0)
        cumulative = np.cumsum(shares, axis=1) * self.draws
        stderr = np.std(cumulative, axis=0, ddof=1) / np.sqrt(self.draws)
        width = float(self.nodes[-1] - self.nodes[0])
        return float(stderr[:-1] @ np.diff(nodes)) / width if width else 0.0

    def _rest_share(self) -> float:
        return float(self.weights[self.draw >= 0].sum())

    def _draw_mean(self, draw: int) -> float:
        mine = self.draw == draw
        total = float(self.weights[mine].sum())
        return float(self.weights[mine] @ self.nodes[mine]) / total if total else 0.0

    def to_table(self) -> pa.Table:
        """One row a node: draw, node, weight."""
        return pa.table({"draw": self.draw, "node": self.nodes, "weight": self.weights})

    def plot(self, axes: Axes | None = None, *, bandwidth: float | None = None) -> Axes:
        """The smoothed density on a logarithmic axis; known eigenvalues are marked.

        Args:
            axes: where to draw; None: a new figure of pyplot.
            bandwidth: sd of the kernel, in units of eigenvalues; None: 2 % of the range.

        Raises:
            ImportError: matplotlib is missing.
            ValueError: a bandwidth that is not positive.
        """
        return _draw("density", self, axes, bandwidth=bandwidth)

    def _shown(self) -> Shown:
        known = int((self.draw < 0).sum())
        error = self.error()
        scatter = "one draw, so its error is unknown" if math.isnan(error) else f"{error:.1e} of the range over draws"
        below, one = self.cumulative([0.0])[0], float(self.weights @ self.nodes)
        return Shown(
            f"SpectralDensity of {counted(self.dim, 'eigenvalue')}: {counted(len(self.nodes), 'node')}",
            notes=[
                ("range", f"{self.nodes[0]:.6g} to {self.nodes[-1]:.6g}"),
                ("not positive", f"{100 * below:.1f} % of the weight"),
                ("mean", f"{one:.6g}"),
                ("known", f"{counted(known, 'eigenvalue')} one by one"),
                (
                    "cost",
                    f"{counted(self.draws, 'draw')} of {counted(self.steps, 'step')};"
                    f" {counted(self.passes, 'pass', 'passes')}",
                ),
                ("scatter", scatter),
                *([("status", self.status)] if self.status else []),
            ],
        )


@dataclass(frozen=True, repr=False)
class Estimate(Displayed):
    """A stochastic estimate with its standard error (0 when exact).

    Attributes:
        value: the estimate, of the mean over samples.
        stderr: its standard error.
        probes: products it took, or draws.
        passes: passes over the data.
        seed: seed of the probes.
        degrees: degrees of freedom of the standard error; None when exact.
        status: what to know of the standard error; empty where it needs no words.
    """

    value: float
    stderr: float
    probes: int
    passes: int
    seed: int
    degrees: int | None = None
    status: str = ""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval by Student's distribution: with few probes the standard error itself is uncertain."""
        degrees = math.inf if self.degrees is None else self.degrees
        margin = float(stdtrit(degrees, (1 + level) / 2)) * self.stderr
        return self.value - margin, self.value + margin

    def _shown(self) -> Shown:
        if self.stderr == 0:
            return Shown(f"Estimate: {self.value:.6g} (exact)", notes=self._notes())
        low, high = self.interval()
        told = [] if math.isnan(low) else [("95 %", f"{low:.6g} to {high:.6g}")]
        error = "unknown" if math.isnan(self.stderr) else f"{self.stderr:.2g}"
        return Shown(f"Estimate: {self.value:.6g}, standard error {error}", notes=[*told, *self._notes()])

    def _notes(self) -> list[tuple[str, str]]:
        cost = ("cost", f"{counted(self.probes, 'probe')}, {counted(self.passes, 'pass', 'passes')}")
        return [cost, *([("status", self.status)] if self.status else [])]


@dataclass(frozen=True, repr=False)
class Index(Displayed):
    """How many of P eigenvalues lie below a border, with a confidence interval.

    Attributes:
        value: likeliest number.
        low: lower end of the interval.
        high: upper end of the interval.
        dim: P.
        quadrature: how many eigenvalues the quadrature alone leaves undecided.
        draws: random directions it rests on.
        below: the border; 0 for the index.
        level: of the interval.
        status: "exact", or what would narrow the interval.
    """

    value: float
    low: float
    high: float
    dim: int
    quadrature: float
    draws: int
    below: float
    level: float
    status: str

    @property
    def fraction(self) -> tuple[float, float, float]:
        """Value and interval as shares of P."""
        return self.value / self.dim, self.low / self.dim, self.high / self.dim

    def _shown(self) -> Shown:
        return Shown(
            f"Index: {self.value:,.0f} of {counted(self.dim, 'eigenvalue')} below {self.below:g}",
            notes=[
                (f"{100 * self.level:g} %", f"{self.low:,.0f} to {self.high:,.0f}"),
                ("status", self.status),
            ],
        )


def _draw(kind: str, result: Any, axes: Axes | None, **options: Any) -> Axes:
    """Named and not imported: drawing lies in a room above this one, and is slow to load."""
    try:
        drawing = importlib.import_module("distlandscape.report.of_results")
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError("plot() needs matplotlib, which is not installed; run: pip install matplotlib") from error
    drawn: Axes = getattr(drawing, kind)(result, axes, **options)
    return drawn
