"""The spectrum of what users bring: other operators, the test split, a factory of their own, batch statistics."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.config import load_config
from distlandscape.data import BlockStore, load_source
from distlandscape.models import load_weights
from distlandscape.studies.context import build_objective
from tests.models.factories import small_resnet

pytestmark = pytest.mark.usefixtures("numbers_only")

QUICK = [
    "spectrum.k=3",
    "spectrum.tol=1e-2",
    "spectrum.density_draws=1",
    "spectrum.density_steps=10",
    "spectrum.trace_probes=4",
    "data.blocks=2",
    "runtime.workers=0",
    "runtime.threads=1",
    "objective.dtype=float64",
]


@pytest.fixture
def archive(tmp_path):
    """Bytes of images with another test split; two classes that differ in brightness."""
    rng = np.random.default_rng(0)

    def images(n):
        y = np.arange(n) % 2
        return (rng.integers(0, 160, (n, 1, 8, 8)) + 60 * y[:, None, None, None]).astype(np.uint8), y

    (x, y), (x_test, y_test) = images(90), images(50)
    path = tmp_path / "images.npz"
    np.savez(path, x=x, y=y, x_test=x_test, y_test=y_test)
    return path


def spectrum(archive, capfd, *assignments, command="spectrum"):
    out = archive.parent / "out"
    chosen = [*QUICK, "data.source=npz", f"data.path={archive}", "model.options={hidden: [4]}", *assignments]
    arguments = [word for a in chosen for word in ("--set", a)]
    code = main([command, *arguments, "--out", str(out), "--json"])
    captured = capfd.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out), chosen


def eigenvalues(objective, kind):
    return torch.linalg.eigvalsh(kind(objective).apply(torch.eye(objective.parameters))).flip(0)[:3].numpy()


def same(result, expected):
    assert np.allclose(result["eigenvalues"], expected, rtol=1e-3, atol=1e-3 * abs(expected).max())


def objective_of(result, chosen):
    objective = build_objective(load_config(None, chosen))
    model = objective.trainable_copy()
    load_weights(model, result["weights"])
    return objective.with_weights(model.state_dict())


@pytest.mark.parametrize(
    ("operator", "kind"),
    [("residual", dl.Residual), ("fisher", dl.Fisher), ("gauss_newton", dl.GaussNewton)],
)
def test_other_operators(archive, capfd, operator, kind):
    result, chosen = spectrum(archive, capfd, f"spectrum.operator={operator}", "train.steps=5")
    assert result["operator"] == operator
    same(result, eigenvalues(objective_of(result, chosen), kind))


def test_the_test_split_is_measured_and_the_train_split_trained_on(archive, capfd):
    settings = ["train.steps=40", "data.scaling=standard"]
    on_train, _ = spectrum(archive, capfd, *settings)
    on_test, chosen = spectrum(archive, capfd, *settings, "data.split=test")
    assert (on_train["samples"], on_test["samples"]) == (90, 50)
    assert on_train["weights_sha256"] == on_test["weights_sha256"]
    assert on_train["loss"] != on_test["loss"]
    objective = objective_of(on_test, chosen)
    store = load_source("npz", str(archive), split="test", scaling="standard")
    assert objective.data.digest == store.digest
    with np.load(archive) as arrays:
        mean, spread = arrays["x"].mean(), arrays["x"].std()
    assert store.scaling.shift == pytest.approx((mean,), rel=1e-12)
    assert store.scaling.divisor == pytest.approx((spread,), rel=1e-12)
    assert "test split, permutation seed 0, used as (x − " in on_test["data"]
    same(on_test, eigenvalues(objective, dl.Hessian))


def test_a_factory_in_a_users_module(archive, capfd):
    """Like those of torchvision: options alone, BatchNorm, no knowledge of the data."""
    name = ["model.name=tests.models.factories:small_resnet", "model.options={num_classes: 2}", "train.steps=2"]
    population, _ = spectrum(archive, capfd, *name)
    fixed = [*name, "objective.norm=batch", "objective.norm_samples=30", "objective.weight_decay=0.01"]
    batch, chosen = spectrum(archive, capfd, *fixed)
    assert batch["weights"] != population["weights"]
    same(batch, eigenvalues(objective_of(batch, chosen), dl.Hessian))
    with pytest.raises(AssertionError):
        same(batch, np.array(population["eigenvalues"]))


def test_weights_from_a_state_dict_of_torch(archive, capfd):
    model = small_resnet(2)
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, archive.parent / "w.pt")
    result, _ = spectrum(
        archive,
        capfd,
        "model.name=tests.models.factories:small_resnet",
        "model.options={num_classes: 2}",
        f"model.weights={archive.parent / 'w.pt'}",
        "objective.dtype=float32",
    )
    assert result["weights_sha256"] == dl.Objective(model, load_source("npz", str(archive))).weights_sha256


def test_a_store_is_used_where_it_lies(archive, capfd):
    path = archive.parent / "deep" / "store.arrow"
    store = load_source("npz", str(archive), into=path, blocks=2)
    from_source, _ = spectrum(archive, capfd, "train.steps=3")
    from_store, _ = spectrum(
        archive, capfd, "train.steps=3", "data.source=store", f"data.path={path}", "data.blocks=null"
    )
    assert from_store["eigenvalues"] == from_source["eigenvalues"]
    identity = dl.open_run(from_store["run_dir"]).identity
    assert identity["stores"]["measured"] == {"path": str(path), "sha256": store.digest}
    assert BlockStore.open(path).intact()
