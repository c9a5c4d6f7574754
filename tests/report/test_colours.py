"""Figures can be told apart by the colour-blind, and text can be read, in light and in dark."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from distlandscape.report.comparison.overlay import COLOURS, MARKS, colour, marks
from distlandscape.report.style import DARK, LIGHT, SERIES

# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency (2009),
# severity 1, on linear RGB.
SIGHT = {
    "common": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(1)


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    t = XYZ @ rgb.clip(0, 1) / WHITE
    x, y, z = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("roles", [SERIES, COLOURS], ids=["one run", "runs"])
def test_series_can_be_told_apart(sight: str, theme: dict[str, str], roles: tuple[str, ...]) -> None:
    seen = {role: lab(np.array(SIGHT[sight]) @ linear(theme[role])) for role in roles}
    apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in itertools.combinations(roles, 2)}
    assert min(apart.values()) > 10, apart  # 2.3 is just noticeable


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read(theme: dict[str, str]) -> None:
    for role, least in (("ink", 7.0), ("muted", 4.5), ("blue", 4.5)):
        assert contrast(theme[role], theme["paper"]) >= least, role
    for role in SERIES:
        assert contrast(theme[role], theme["paper"]) >= 3.0, role


def test_runs_differ_in_colour_and_mark() -> None:
    assert len({(colour(run), marks(run)) for run in range(len(COLOURS) * len(MARKS))}) == len(COLOURS) * len(MARKS)
    for run in range(4):
        assert colour(run) != colour(run + 1)
        assert marks(run) != marks(run + 1)
