"""One small run of every study, made once; reports for tests that look at pages alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from distlandscape.cli.main import main
from distlandscape.record.run import Run

NET = (
    *("data.samples=120", "data.blocks=2", "data.classes=[0, 1, 2]", "model.options={hidden: [8]}"),
    *("train.steps=60", "train.batch_size=32", "train.checkpoints=4"),
)
STUDIES = {
    "spectrum": (*NET, "spectrum.k=8", "spectrum.lowest=3", "spectrum.layers=all", "spectrum.density_steps=40"),
    "train": NET,
    "theory": ("theory.examples=60", "theory.dim=150", "theory.draws=4", "theory.points=3", "theory.planes=[10, 40]"),
    "clustering": NET,
    "hierarchy": (*NET, "hierarchy.kernel=true"),
    "emergence": NET,
    "hyperplane": (
        *NET,
        *("train.optimizer=adam", "hyperplane.dims=[2, 16, 400]", "hyperplane.rounds=1", "hyperplane.seeds=3"),
        *("hyperplane.pack=3", "hyperplane.evaluate_every=20"),
    ),
    "goldilocks": (
        *NET,
        *("goldilocks.radii=[0.25, 1, 4]", "goldilocks.points=2", "goldilocks.planes=[3, 12]", "goldilocks.dims=[20]"),
        *("goldilocks.trainings=2", "train.steps=20"),
    ),
}


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Callable[[str], Path]:
    """The run directory of a study, with its page; each study runs at most once."""
    found: dict[str, Path] = {}

    def run(study: str) -> Path:
        if study not in found:
            out = tmp_path_factory.mktemp(study)
            shutil.copy(empty_database, out / "mlflow.db")
            keys = [word for key in STUDIES[study] for word in ("--set", key)]
            assert main([study, *keys, "--workers", "0", "--out", str(out)]) in (0, 3)
            (file,) = out.glob("*/run.json")
            found[study] = file.parent
        return found[study]

    return run


def twin(path: Path, folder: Path, **settings: object) -> Path:
    """A copy of a run that says it was configured otherwise: ``train__seed=1`` for ``train.seed``."""
    copy = folder / f"{path.name}-{len(list(folder.iterdir())) if folder.exists() else 0}"
    shutil.copytree(path, copy)
    config = Run.open(copy).config
    for key, value in settings.items():
        section, name = key.split("__")
        config[section][name] = value
    (copy / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return copy


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are put together but not drawn, which takes most of a report's time; other tests draw each of them."""
    monkeypatch.setattr("distlandscape.report.png._png", lambda figure: b"")
