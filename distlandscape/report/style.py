"""Colours of figures and page by their role, from Okabe-Ito: the colour-blind can tell them apart."""

from __future__ import annotations

LIGHT = {
    "ink": "#1b1f24",
    "muted": "#5c6670",
    "grid": "#e3e6ea",
    "paper": "#ffffff",
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "purple": "#b5558f",
    "blue-soft": "#0072b229",
    "vermillion-soft": "#d55e0029",
    "green-soft": "#009e7329",
    "purple-soft": "#b5558f29",
    "muted-soft": "#5c66701a",
}

# Blue and vermillion are too dark on a dark ground; their neighbours in the same palette are not.
DARK = {
    "ink": "#e4e7ea",
    "muted": "#9aa4ae",
    "grid": "#30373e",
    "paper": "#15181b",
    "blue": "#56b4e9",
    "vermillion": "#f08c3a",
    "green": "#2fc49a",
    "purple": "#cc79a7",
    "blue-soft": "#56b4e933",
    "vermillion-soft": "#f08c3a33",
    "green-soft": "#2fc49a33",
    "purple-soft": "#cc79a733",
    "muted-soft": "#9aa4ae1f",
}

SERIES = ("blue", "vermillion", "green", "purple")
# Marks for the page and for paper.
MARKS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"), ("cross", "P"), ("x", "X"))
