"""Every ready job is a valid configuration that resolves and builds its objective."""

from pathlib import Path

import pytest

from distlandscape.config import load_config
from distlandscape.studies.context import build_objective
from distlandscape.studies.runner import resolve
from distlandscape.studies.spectrum import check

JOBS = sorted((Path(__file__).parent.parent / "jobs").glob("*.yaml"))


def test_there_are_jobs():
    assert JOBS


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.stem)
def test_job_is_valid(file):
    config = resolve(load_config(file))
    check(config, build_objective(config))
