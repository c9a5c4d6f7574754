"""Runs that a results page is made of: one folder a case, finished ones are kept, one that was cut off is resumed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import distlandscape as dl
from distlandscape.config import load_config
from distlandscape.record.run import Run
from distlandscape.report import make_report
from distlandscape.studies.runner import resume_study, run_study

DONE = ("done", "unconverged")


@dataclass(eq=False)
class Case:
    """A study with a ready job and what is changed in it."""

    name: str
    study: str
    job: str
    keys: list[str]

    @property
    def settings(self) -> list[str]:
        """The job's keys that are changed: one process, so that two cases can be made at once."""
        return [*self.keys, "runtime.workers=0"]

    @property
    def command(self) -> str:
        """What makes the run again."""
        options = "".join(f' --set "{key}"' for key in self.settings)
        return f"distlandscape {self.study} --config {self.job}{options}"

    def folder(self, out: Path) -> Path:
        """Where the one run of the case lies."""
        return out / re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def run(self, out: Path) -> Run | None:
        """The run of the case, finished or not."""
        found = sorted(self.folder(out).glob(f"{self.study}-*/"))
        return dl.open_run(found[-1]) if found else None

    def make(self, out: Path) -> None:
        """Makes the run, or finishes it."""
        run = self.run(out)
        print(f"{self.name}: {self.command}", file=sys.stderr, flush=True)
        if run is None:
            self.folder(out).mkdir(parents=True, exist_ok=True)
            run_study(self.study, load_config(self.job, self.settings), self.folder(out), make_report)
        elif run.status not in DONE:
            resume_study(run, make_report)


def finished(cases: list[Case], out: Path) -> dict[Case, Run]:
    """The runs that are there and ended, in the cases' order."""
    there = ((case, case.run(out)) for case in cases)
    return {case: run for case, run in there if run is not None and run.status in DONE}


def main(cases: list[Case], tables: Callable[[Path, Path], None], folder: str) -> None:
    """``[FOLDER [WORD …]]`` makes runs, ``FOLDER --tables FIGURE.png`` prints what is made of them."""
    arguments = sys.argv[1:]
    out = Path(arguments[0] if arguments else folder)
    if arguments[1:2] == ["--tables"]:
        tables(out, Path(arguments[2]))
    else:
        make_cases(cases, out, arguments[1:])


def make_cases(cases: list[Case], out: Path, words: list[str]) -> None:
    """Makes the runs that are missing, of the cases with one of these words in their names; all without words."""
    torch.set_num_threads(1)
    for case in cases:
        if not words or any(word in case.name for word in words):
            case.make(out)
