"""What the figures of class geometry draw, PNG and page alike.

Shapes: r checkpoints, C classes, K eigenvalues, n samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from distlandscape.report.numbers import number
from distlandscape.report.tables import Array, RunView
from distlandscape.report.thinning import groups


@dataclass(frozen=True, eq=False)
class Curve:
    """Values (r,) along training, and what they scatter by."""

    name: str
    colour: str
    values: Array
    spread: Array | None = None
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class StepPanel:
    """Curves over one axis of steps; positive values may span decades."""

    label: str
    curves: list[Curve]
    limits: tuple[float, float] | None = None
    decades: bool = False


@dataclass(frozen=True, eq=False)
class Heat:
    """A table of numbers as colours, the first row on top; symmetric around 0, or from 0 on."""

    values: Array
    rows: list[str]
    columns: list[str]
    row_label: str
    column_label: str
    value_label: str
    signed: bool

    @property
    def reach(self) -> float:
        """The largest value, in size."""
        return float(np.nanmax(np.abs(self.values), initial=1e-12))


@dataclass(frozen=True, eq=False)
class Simplex:
    """Probabilities of three classes at one checkpoint, as points (n,) of a triangle, with true classes (n,)."""

    title: str
    x: Array
    y: Array
    labels: Array


CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.5, 0.75**0.5))
COSINES = {
    "q_slsc": ("q_SLSC: same logit, both of its class", "vermillion"),
    "q_sl": ("q_SL: same logit, any pair", "blue"),
    "q_sldc": ("q_SLDC: same logit, different classes", "green"),
    "q_dl": ("q_DL: different logits, any pair", "purple"),
}
LEVELS = {"H": "ink", "G0": "vermillion", "G1": "blue", "G2": "green", "G3": "purple"}


def steps(view: RunView) -> Array:
    """The steps of the checkpoints."""
    assert view.checkpoints is not None
    return view.checkpoints["step"]


def _columns(view: RunView) -> dict[str, Array]:
    assert view.checkpoints is not None
    return view.checkpoints


def cosine_panels(view: RunView) -> list[StepPanel]:
    """The four mean cosines."""
    found = _columns(view)
    curves = [Curve(name, colour, found[key]) for key, (name, colour) in COSINES.items()]
    return [StepPanel("mean cosine", curves)]


def length_panels(view: RunView) -> list[StepPanel]:
    """Lengths of logit gradients."""
    found = _columns(view)
    curve = Curve("mean, and one standard deviation", "blue", found["length_mean"], found["length_sd"])
    return [StepPanel("length of ∇z", [curve])]


def freezing_panels(view: RunView) -> list[StepPanel]:
    """The softmax on its way to the corners."""
    found = _columns(view)
    p2 = [
        Curve("measured", "vermillion", found["sum_p2"]),
        Curve("Gaussian logits of this σ_z", "blue", found["sum_p2_gaussian"], dashed=True),
    ]
    return [
        StepPanel("E Σp²", p2, (0, 1.03)),
        StepPanel("σ_z / σ_z*", [Curve("", "green", found["sigma_z_over_scale"])]),
        StepPanel("entropy / ln C", [Curve("", "purple", found["entropy_share"])], (-0.03, 1.03)),
    ]


def share_panels(view: RunView) -> list[StepPanel]:
    """Shares of the levels in the trace of G."""
    found, table = _columns(view), view.tables["traces"]
    curves = []
    for name in ("G0", "G1", "G2", "G3"):
        mine = [row for row in table.to_pylist() if row["level"] == name]
        spread = np.array([row["stderr"] / max(found["trace_g"][i], 1e-300) for i, row in enumerate(mine)])
        curves.append(Curve(name, LEVELS[name], found[f"share_{name.lower()}"], spread if spread.any() else None))
    return [StepPanel("share of Tr G", curves, (0, 1.03))]


def kernel_panels(view: RunView) -> list[StepPanel]:
    """Drift of the kernel, and what the network linearised at the first checkpoint is worth."""
    found = _columns(view)
    return [
        StepPanel("‖K − K₀‖ / ‖K₀‖", [Curve("", "blue", found["kernel_drift"])]),
        StepPanel("alignment with K₀", [Curve("", "green", found["kernel_alignment"])], (-0.03, 1.03)),
        StepPanel(
            "accuracy",
            [
                Curve("network", "vermillion", found["accuracy"]),
                Curve("linearised at the first checkpoint", "blue", found["linearised_accuracy"], dashed=True),
            ],
            (-0.03, 1.03),
        ),
    ]


def last_rows(view: RunView, table: str) -> pa.Table:
    """The rows of the last checkpoint."""
    found = view.tables[table]
    checkpoint = np.array(found["checkpoint"].to_pylist())
    return found.filter(pa.array(checkpoint == checkpoint.max()))


def _matrix(table: pa.Table, row: str, column: str, value: str) -> tuple[Array, list[int], list[int]]:
    """A long table as a matrix, with the keys of its rows and columns."""
    keys = [np.array(table[name].to_pylist()) for name in (row, column)]
    (rows, i), (columns, j) = (np.unique(key, return_inverse=True) for key in keys)
    values = np.full((len(rows), len(columns)), np.nan)
    values[i, j] = np.array(table[value].to_pylist(), dtype=np.float64)
    return values, rows.tolist(), columns.tolist()


def class_heat(view: RunView) -> Heat:
    """Cosines of the last checkpoint by logit and class."""
    values, logits, classes = _matrix(last_rows(view, "clustering"), "logit", "class", "cosine")
    names = [str(k) for k in logits], [str(c) for c in classes]
    return _coarse(Heat(values, *names, "logit", "class of both samples", "mean cosine", signed=True))


def overlap_heat(view: RunView) -> Heat:
    """Squared cosines of the last checkpoint's leading eigenvectors with the class means."""
    table = last_rows(view, "overlaps")
    values, ranks, classes = _matrix(table, "rank", "class", "own")
    size = dict(zip(table["rank"].to_pylist(), table["eigenvalue"].to_pylist(), strict=True))
    names = [f"λ{rank} = {number(size[rank], 3)}" for rank in ranks], [str(c) for c in classes]
    return _coarse(Heat(values, *names, "eigenvector of H", "class of the mean", "cos²", signed=False))


def _coarse(heat: Heat) -> Heat:
    """The same picture with neighbours averaged where there are more than a screen or a page can hold."""
    rows, columns = (groups(count) for count in heat.values.shape)
    if (len(rows), len(columns)) == heat.values.shape:
        return heat
    values = np.array([[np.nanmean(heat.values[r, c]) for c in columns] for r in rows])
    row_names = [_span(heat.rows[one]) for one in rows]
    column_names = [_span(heat.columns[one]) for one in columns]
    label = f"{heat.value_label}, mean of neighbours"
    return replace(heat, values=values, rows=row_names, columns=column_names, value_label=label)


def _span(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def level_spectra(view: RunView) -> list[tuple[str, Array]]:
    """Leading positive eigenvalues of the last checkpoint: of H, of each level, of G where the kernel was computed."""
    table = last_rows(view, "levels")
    level = np.array(table["level"].to_pylist())
    value = np.array(table["eigenvalue"].to_pylist(), dtype=np.float64)
    found = [(name, value[level == name]) for name in LEVELS if (level == name).any()]
    top = max((float(v.max()) for _, v in found), default=0.0)
    return [(name, values[values > 1e-7 * top]) for name, values in found]


def simplex_pictures(view: RunView) -> list[Simplex]:
    """The first, the middle and the last checkpoint."""
    table = view.tables["simplex"]
    checkpoint = np.array(table["checkpoint"].to_pylist())
    kept = np.unique(checkpoint)
    pictures = []
    for one in sorted({int(kept[0]), int(kept[len(kept) // 2]), int(kept[-1])}):
        part = table.filter(pa.array(checkpoint == one))
        p_n3 = np.stack([np.array(part[f"p{k}"].to_pylist()) for k in range(3)], 1)
        x, y = (p_n3 @ np.array(CORNERS)).T
        labels = np.array(part["label"].to_pylist(), dtype=np.float64)
        pictures.append(Simplex(f"step {part['step'][0].as_py():,}", x, y, labels))
    return pictures
