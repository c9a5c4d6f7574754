"""Where a given point stands beside random ones, and what curvatures in a plane say, from numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import distlandscape as dl
from distlandscape.models import build_model
from distlandscape.studies.goldilocks import place_of_point
from distlandscape.studies.goldilocks_measure import plane_row
from distlandscape.studies.goldilocks_tables import zone

GLOROT = 5.0
RATIOS = {0.5: [1.0, 4.0, 1.0], 2.0: [3.0, 2.0, 1.0]}  # by temperature; of multiples 0.1, 1 and 10


def placed(multiple, temperature):
    """The place of a point at a multiple of Glorot's radius."""
    radii = [
        {"temperature": T, "multiple": m, "radius": GLOROT * m, "ratio": ratio}
        for T, ratios in RATIOS.items()
        for m, ratio in zip((0.1, 1.0, 10.0), ratios, strict=True)
    ]
    names = ("ratio", "ratio_stderr", "sum_p2", "flat", "loss", "accuracy")
    point = {"temperature": temperature, "multiple": None, "radius": GLOROT * multiple, **dict.fromkeys(names, 0.5)}
    zones = [{"temperature": T, **zone([r for r in radii if r["temperature"] == T])} for T in RATIOS]
    return place_of_point({"points": [point], "radii": radii, "planes": []}, zones)


@pytest.mark.parametrize(
    ("multiple", "temperature", "inside", "random_ratio"),
    [
        (1.0, 0.5, True, 4.0),
        (0.15, 0.5, False, 1 + 3 * np.log10(1.5)),
        (0.15, 2.0, True, 3 - np.log10(1.5)),  # the zone of its own temperature, which begins further in
        (0.05, 0.5, False, None),
        (0.05, 2.0, None, None),  # nothing is known of where that zone begins
        (8.0, 2.0, False, 2 - np.log10(8)),
    ],
)
def test_place_is_in_the_zone_of_its_temperature(multiple, temperature, inside, random_ratio):
    found = placed(multiple, temperature)
    assert found["multiple"] == pytest.approx(multiple)
    assert found["inside"] is inside
    assert found["random_ratio"] == pytest.approx(random_ratio)


def test_what_is_0_up_to_rounding_is_not_positive():
    """A plane of more dimensions than H has rank shows zeros, which rounding puts on both sides."""
    store = dl.data.load_source("digits", samples=30)
    objective = dl.Objective(build_model("mlp", (1, 8, 8), 10, {"hidden": [4]}, 0), store)
    curvatures = np.array([-1e-17, 1e-17, 2e-16, 0.5, 2.0])
    row = plane_row(objective, curvatures, 10.0, 5.0, [], 5)
    assert row["positive"] == 2 / 5
    assert plane_row(objective, np.zeros(5), 0.0, 0.0, [], 5)["positive"] == 0
