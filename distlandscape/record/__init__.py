"""The record of a run: the run directory, which is the truth, and its mirror in MLflow."""

from distlandscape.record.run import Run

__all__ = ["open_run"]

open_run = Run.open
