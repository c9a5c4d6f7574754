"""The table of layers as columns, for both kinds of figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.report.tables import Array, RunView

LONGEST = 28  # characters of a layer's name beside an axis


@dataclass(frozen=True, eq=False)
class LayerColumns:
    """L layers in the order of the model: eigenvalues, residuals and shares of the trace (L,)."""

    names: list[str]
    values: Array
    residuals: Array
    converged: npt.NDArray[np.bool_]
    shares: Array
    share_errors: Array


def layer_columns(view: RunView) -> LayerColumns:
    """What the run has of its layers; long names keep their ends."""
    rows = view.tables["layers"].to_pylist()

    def column(name: str) -> Array:
        return np.array([row[name] for row in rows], dtype=np.float64)

    names = [str(row["layer"]) for row in rows]
    return LayerColumns(
        [name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}" for name in names],
        column("eigenvalue"),
        column("residual"),
        np.array([bool(row["converged"]) for row in rows]),
        column("share"),
        column("share_stderr"),
    )
