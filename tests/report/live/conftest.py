"""A small spectrum run, made once, and what it was when it was cut off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distlandscape.cli.main import main
from distlandscape.record.run import Run
from distlandscape.studies.journal import RunJournal

SMALL = (
    "data.samples=120",
    "model.options={hidden: [4]}",
    "train.steps=20",
    "train.checkpoints=2",
    "spectrum.k=5",
    "spectrum.lowest=2",
    "spectrum.density_draws=2",
    "spectrum.density_steps=12",
    "spectrum.trace_probes=2",
    "runtime.threads=1",
)
LATER = ("eigenvalues", "density", "estimates")  # tables that are written after the eigenpairs

CutOff = Callable[[Callable[[dict[str, Any]], bool]], Run]


commit = RunJournal.commit


def _commit_and_wait(self: RunJournal, *arguments: Any) -> None:
    """So that the log holds every step, however fast the passes are."""
    commit(self, *arguments)
    self._wait()


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Run:
    """The run as it ended."""
    out = tmp_path_factory.mktemp("whole")
    shutil.copy(empty_database, out / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunJournal, "commit", _commit_and_wait)
        assert main(["spectrum", *(f"--set={s}" for s in SMALL), "--workers", "0", "--json", "--out", str(out)]) == 0
    (path,) = out.glob("spectrum-*")
    return Run.open(path)


@pytest.fixture
def cut_off(whole_run: Run, tmp_path: Path) -> CutOff:
    """Makes a copy of the run as a crash would have left it after the first event that fits."""

    def cut(fits: Callable[[dict[str, Any]], bool]) -> Run:
        path = tmp_path / whole_run.path.name
        shutil.copytree(whole_run.path, path)
        events = whole_run.log.events()
        last = next(i for i, event in enumerate(events) if fits(event))
        (path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events[: last + 1]))
        for file in (path / "result.json", path / "report.html", *(path / "figures").iterdir()):
            file.unlink()
        run = Run.open(path)
        begun = [event["name"] for event in run.log.events("begun")]
        for name in LATER:
            if name not in run.stages() and not (name == "eigenvalues" and "density" in begun):
                (path / "tables" / f"{name}.parquet").unlink()
        return run

    return cut
