"""Every ready job is a valid configuration that resolves and builds its objective."""

from pathlib import Path

import pytest

from distlandscape.config import load_config
from distlandscape.data import load_source
from distlandscape.errors import InputError
from distlandscape.studies.context import build_objective
from distlandscape.studies.runner import STUDIES, SWEEPS, resolve

JOBS = sorted((Path(__file__).parent.parent / "jobs").glob("*.yaml"))


def test_there_are_jobs():
    assert JOBS


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.stem)
def test_job_is_valid(file):
    study = next((name for name in (*STUDIES, *SWEEPS) if file.stem.endswith(name)), "spectrum")
    assert f"distlandscape {study} --config jobs/{file.name}" in file.read_text()
    config = resolve(load_config(file, ["data.samples=200"]), study)
    try:
        load_source(config.data.source, config.data.path, samples=1)
    except InputError:
        assert config.data.source == "fashion_mnist"  # its package is not everywhere
        pytest.skip("the data are not on this machine")
    (SWEEPS[study] if study in SWEEPS else STUDIES[study]).check(config, build_objective(config))
