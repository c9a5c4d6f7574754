"""The record of a run: the run directory, which is the truth, and its mirror in MLflow."""
