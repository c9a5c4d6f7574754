"""Studies without the command line: what ``distlandscape STUDY --config …`` does, as one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distlandscape.config import load_config, validate_config
from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.report import make_report
from distlandscape.studies import runner


def run_study(study: str, config: Mapping[str, Any] | str | Path | None = None, *, out: str | Path = "results") -> Run:
    """Run a study to its end: the same checks, run directory, MLflow mirror and page as on the command line.

    Args:
        study: "spectrum", "train", "clustering", "hierarchy", "emergence", "hyperplane", "goldilocks" or "theory".
        config: the configuration as nested mappings, for example ``{"spectrum": {"k": 20}}``, or a YAML file; None:
            all defaults. ``{"runtime": {"workers": 0}}`` computes in this process, without Ray.
        out: folder for run directories.

    Returns:
        The finished run: ``run.result`` is the summary, ``run.table(name)`` a table, ``run.status`` "done", or
        "unconverged" where a tolerance was not reached. Cost: see the study's page.

    Raises:
        InputError: an unknown study, or something wrong in the configuration; no worker was started.
        KeyboardInterrupt: interrupted; ``distlandscape resume RUN`` goes on. No handler of a signal is put in place.
    """
    known = sorted({*runner.STUDIES, *runner.SWEEPS, runner.THEORY} - {"quickstart"})
    if study not in known:
        raise InputError(f"study {study!r} is unknown; known: {', '.join(known)}")
    settings = validate_config(dict(config)) if isinstance(config, Mapping) else load_config(config)
    return runner.run_study(study, settings, Path(out), make_report).run
