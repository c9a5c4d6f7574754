"""Output folders with a tracking database in them, and runs for tests of numbers alone."""

import shutil

import pytest

from distlandscape.studies import execute


@pytest.fixture
def tracked(empty_database):
    """Makes an output folder with such a database in it."""

    def prepare(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_database, out / "mlflow.db")
        return out

    return prepare


class Unmirrored:
    """Takes the place of the mirror, and sends nothing."""

    run_id = None
    url_hint = "mlflow ui"

    def __init__(self, run, uri, experiment):
        pass

    def push(self, final=False):
        return True

    def push_images(self, images):
        return True


@pytest.fixture
def numbers_only(monkeypatch):
    """Runs whose figures are made but not drawn, and that are not mirrored: both take most of a tiny run's time.

    Each study has a run besides that is drawn and mirrored.
    """
    monkeypatch.setattr(execute, "MlflowMirror", Unmirrored)
    monkeypatch.setattr("distlandscape.report.png._png", lambda figure: b"")
