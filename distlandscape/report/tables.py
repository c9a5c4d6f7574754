"""Everything the report shows of one run, loaded once; what the run does not have (yet) is None or empty."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distlandscape.convergence import FLOOR
from distlandscape.display import counted
from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.redaction import redact, redacted

Array = npt.NDArray[np.float64]

OPERATORS = {  # names and symbols
    "hessian": ("Hessian", "H"),
    "gauss_newton": ("Gauss-Newton term", "G"),
    "residual": ("residual term", "R"),
    "fisher": ("Fisher matrix", "F"),
}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Eigenvalues of one end of the spectrum, the most extreme first, with residuals (k,) and verdicts (k,)."""

    values: Array
    residuals: Array
    converged: npt.NDArray[np.bool_]
    at_rounding: npt.NDArray[np.bool_]

    @property
    def ranks(self) -> npt.NDArray[np.int64]:
        """1 for the most extreme."""
        return np.arange(1, len(self.values) + 1)

    @property
    def relative(self) -> Array:
        """(k,) residuals over |λ|."""
        return self.residuals / np.maximum(np.abs(self.values), np.finfo(float).tiny)

    @property
    def positive(self) -> bool:
        """Whether a logarithmic axis can show all of them."""
        return bool((self.values > 0).all())


@dataclass(frozen=True, eq=False)
class Nodes:
    """Quadrature nodes (m,) and weights (m,) of the density; ``draw`` −1 marks a known eigenvalue."""

    draw: npt.NDArray[np.int64]
    node: Array
    weight: Array


@dataclass(frozen=True)
class Measured:
    """An estimate with its standard error."""

    value: float
    stderr: float
    probes: int | None


@dataclass(frozen=True, eq=False)
class Confinement:
    """The gradient's fraction in the top ``k`` eigenvectors along training, beside its nulls."""

    k: int
    labels: tuple[str, ...]
    step: Array
    fraction: Array
    uniform: Array
    share: Array
    share_stderr: Array


@dataclass(frozen=True, eq=False)
class RunView:
    """What is known of one run.

    ``tables`` keeps the tables as they are stored, for download; ``status`` and ``detail`` are the log's, and
    ``resumable`` says whether to go on makes sense. ``checkpoints`` and ``training`` are columns (r,).
    """

    path: Path
    run_id: str
    study: str
    status: str
    detail: str
    resumable: bool
    config: dict[str, Any]
    identity: dict[str, Any]
    result: dict[str, Any]
    tables: dict[str, pa.Table]
    top: Pairs | None
    lowest: Pairs | None
    density: Nodes | None
    trace: Measured | None
    frobenius: Measured | None
    checkpoints: dict[str, Array] | None
    training: dict[str, Array] | None
    confinement: tuple[Confinement, ...]

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.path.name

    @property
    def operator(self) -> str:
        """The matrix that was measured, in words."""
        section = self.config.get("spectrum") or {}
        key = self.result.get("operator") or section.get("operator")
        return OPERATORS.get(str(key), ("Hessian", "H"))[0]

    @property
    def symbol(self) -> str:
        """Its symbol."""
        return dict(OPERATORS.values()).get(self.operator, "H")

    @property
    def parameters(self) -> int | None:
        """P; a run that did not record it at its start tells it at its end, or by the weight of a known eigenvalue."""
        known = self.result.get("parameters") or self.identity.get("parameters")
        if known:
            return int(known)
        if self.density is not None and (self.density.draw < 0).any():
            return round(1 / float(self.density.weight[self.density.draw < 0][0]))
        return None

    @property
    def described_parameters(self) -> str | None:
        """P in words, with what was left out of it where the run recorded that."""
        told = self.result.get("described_parameters") or self.identity.get("described_parameters")
        if told or self.parameters is None:
            return told
        return counted(self.parameters, "parameter")

    @property
    def classes(self) -> int | None:
        """C; before the run's end it is read off the confinement table."""
        if self.result.get("classes"):
            return int(self.result["classes"])
        return next((c.k + 1 for c in self.confinement if "C-1" in c.labels), None)

    @property
    def tol(self) -> float | None:
        """The tolerance asked for, relative to each |eigenvalue|."""
        tol = (self.config.get("spectrum") or {}).get("tol")
        return None if tol is None else float(tol)

    @property
    def eps(self) -> float:
        """Rounding unit of the parameters' precision."""
        return float(np.finfo((self.config.get("objective") or {}).get("dtype") or "float32").eps)

    @property
    def converged(self) -> tuple[int, int]:
        """How many eigenpairs converged, of how many."""
        flags = [pairs.converged for pairs in (self.top, self.lowest) if pairs is not None]
        return sum(int(f.sum()) for f in flags), sum(len(f) for f in flags)

    def admissible(self, values: Array) -> Array | None:
        """Largest relative residual that counts as converged, for each eigenvalue; None if no tolerance is known."""
        if self.tol is None:
            return None
        known = [np.abs(pairs.values).max() for pairs in (self.top, self.lowest) if pairs is not None]
        norm = float((self.result.get("trust") or {}).get("norm") or max(known))
        return np.maximum(self.tol, FLOOR * self.eps * norm / np.maximum(np.abs(values), np.finfo(float).tiny))


def load(run: Run) -> RunView:
    """Read what there is of a run, its texts without secrets: no page gets to see others.

    Raises:
        InputError: a file of it is damaged, or holds something else than a run writes there.
    """
    try:
        return _load(run)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError, pa.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120, placeholder="…")
        raise InputError(
            f"{run.path} holds something else than a run writes ({reason}); give the folder of a run as it was left"
        ) from error


def _load(run: Run) -> RunView:
    names = sorted(file.stem for file in run.path.glob("tables/*.parquet"))
    found = {name: table for name in names if (table := run.table(name)) is not None and table.num_rows}
    pairs, nodes = found.get("eigenvalues"), found.get("density")
    estimates = {str(row["quantity"]): row for row in found["estimates"].to_pylist()} if "estimates" in found else {}
    ended = run.log.events("ended")
    status = run.status
    return RunView(
        path=run.path,
        run_id=run.run_id,
        study=run.study,
        status=status,
        detail=redact(str(ended[-1].get("detail") or "")) if ended and status != "running" else "",
        resumable=run.resumable,
        config=redacted(run.config),
        identity=redacted(run.identity),
        result=redacted(run.result),
        tables=found,
        top=_pairs(pairs, "top"),
        lowest=_pairs(pairs, "lowest"),
        density=None if nodes is None else _nodes(nodes),
        trace=_measured(estimates.get("trace")),
        frobenius=_measured(estimates.get("frobenius")),
        checkpoints=_by_step(found.get("checkpoints")),
        training=_by_step(found.get("training")),
        confinement=_confinement(found.get("confinement")),
    )


def _column(table: pa.Table, name: str) -> Array:
    """A column as floats, gaps as nan."""
    return np.array(table[name].to_pylist(), dtype=np.float64)


def _pairs(table: pa.Table | None, end: str) -> Pairs | None:
    if table is None:
        return None
    rows = sorted((row for row in table.to_pylist() if row["end"] == end), key=lambda row: int(row["index"]))
    if not rows:
        return None
    values, residuals = (np.array([row[name] for row in rows], dtype=float) for name in ("eigenvalue", "residual"))
    # The last column is absent from tables of runs before there was one.
    flags = (np.array([bool(row.get(name)) for row in rows]) for name in ("converged", "at_rounding"))
    return Pairs(values, residuals, *flags)


def _nodes(table: pa.Table) -> Nodes:
    return Nodes(_column(table, "draw").astype(np.int64), _column(table, "node"), _column(table, "weight"))


def _measured(row: dict[str, Any] | None) -> Measured | None:
    if row is None or row["value"] is None:
        return None
    stderr = float("nan") if row["stderr"] is None else float(row["stderr"])
    return Measured(float(row["value"]), stderr, row.get("probes"))


def _by_step(table: pa.Table | None) -> dict[str, Array] | None:
    """The columns of numbers, in the order of steps."""
    if table is None:
        return None
    table = table.sort_by("step")
    return {field.name: _column(table, field.name) for field in table.schema if not pa.types.is_string(field.type)}


def _confinement(table: pa.Table | None) -> tuple[Confinement, ...]:
    """One curve for each k: with ten classes the rows labelled 'C' and '10' say the same."""
    if table is None:
        return ()
    table = table.sort_by("step")
    k_rows, label_rows = _column(table, "k"), np.array(table["label"].to_pylist())
    columns = [_column(table, name) for name in ("step", "fraction", "null_uniform", "null_share", "null_share_stderr")]
    curves = []
    for k in np.unique(k_rows):
        labels = tuple(sorted({str(label) for label in label_rows[k_rows == k]}))
        mine = (k_rows == k) & (label_rows == labels[0])
        curves.append(Confinement(int(k), labels, *(column[mine] for column in columns)))
    return tuple(curves)
