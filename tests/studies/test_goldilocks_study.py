"""The goldilocks command: numbers against dense matrices, resume, given points, bad input; everything is tiny."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.config import load_config
from distlandscape.errors import InputError
from distlandscape.models import build_model
from distlandscape.models.weights import save_weights
from distlandscape.runtime.clustering import clustering
from distlandscape.studies.goldilocks_point import at_radius, random_point, scheme_radii
from distlandscape.studies.goldilocks_tables import zone

KEYS = [
    "data.samples=120",
    "data.blocks=2",
    "data.classes=[0, 1, 2]",
    "model.options={hidden: [4]}",
    "train.steps=20",
    "train.batch_size=32",
    "goldilocks.radii=[0.25, 1, 4]",
    "goldilocks.points=2",
    "goldilocks.planes=[3, 12]",
    "goldilocks.dims=[20]",
    "goldilocks.trainings=2",
]
WORDS = [word for key in KEYS for word in ("--set", key)]
NUMBERS = ("zones", "radii", "grid", "planes", "inside", "metrics", "trainings")


def run(out, capfd, *more, code=0, workers="0"):
    assert main(["goldilocks", *WORDS, *more, "--workers", workers, "--out", str(out), "--json"]) == code
    return json.loads(capfd.readouterr().out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, empty_database):
    """One finished run."""
    out = tmp_path_factory.mktemp("whole")
    (out / "mlflow.db").write_bytes(empty_database.read_bytes())
    assert main(["goldilocks", *WORDS, "--workers", "0", "--out", str(out)]) == 0
    (path,) = (file.parent for file in out.glob("*/run.json"))
    return dl.open_run(path)


def test_result_has_what_was_promised(whole):
    result = whole.result
    assert [row["multiple"] for row in result["radii"]] == [0.25, 1.0, 4.0]
    assert {(r["mode"], r["multiple"], r["dimension"]) for r in result["grid"]} == {
        (mode, r, d) for mode in ("sphere", "free") for r in (0.25, 1.0, 4.0) for d in (20,)
    }
    assert result["trainings"] == 12
    assert whole.progress["done"] == pytest.approx(whole.progress["planned"])
    (found,) = result["zones"]
    ratios = [row["ratio"] for row in result["radii"]]
    assert found["ratio"] == max(ratios)
    assert found["level"] == max(ratios) / 2
    for row in result["radii"]:
        assert row["ratio_stderr"] > 0
        assert row["largest_positive_plane"] == pytest.approx((max(row["ratio"], 0) / 2) ** 2)


def test_a_point_against_its_dense_hessian(whole):
    """Model, radius and plane put together by hand in float64."""
    point = next(p for p in whole.table("points").to_pylist() if (p["multiple"], p["seed"]) == (1.0, 1))
    store = dl.data.load_source("digits", samples=120, classes=(0, 1, 2), blocks=2)
    model = build_model("mlp", (1, 8, 8), 3, {"hidden": [4]}, 1).double()
    objective = dl.Objective(model, store)
    objective = at_radius(objective, scheme_radii(objective)["glorot"])
    assert point["radius"] == pytest.approx(float(objective.theta.norm()))
    operators = [dl.Hessian(objective), dl.GaussNewton(objective), dl.Residual(objective)]
    H, G, R = (operator.apply(torch.eye(objective.parameters, dtype=torch.float64)).numpy() for operator in operators)
    assert np.trace(R) == pytest.approx(0, abs=1e-10)  # of a plain ReLU network
    values = np.linalg.eigvalsh(H)
    for name, exact in {
        "trace": np.trace(H),
        "frobenius": np.linalg.norm(H),
        "ratio": np.trace(H) / np.linalg.norm(H),
        "gauss_newton": np.linalg.norm(G),
        "residual": np.linalg.norm(R),
    }.items():
        assert abs(point[name] - exact) < 5 * point[f"{name}_stderr"]
    assert point["outlier_highest"] == pytest.approx(values[-1], rel=0.03)
    assert point["outlier_lowest"] == pytest.approx(values[0], rel=0.03)
    nodes = [n for n in whole.table("nodes").to_pylist() if (n["multiple"], n["seed"]) == (1.0, 1)]
    where, weights = (np.array([n[name] for n in nodes]) for name in ("node", "weight"))
    assert weights.sum() == pytest.approx(1)
    assert where[-1] == pytest.approx(values[-1], rel=0.03)
    small = 0.05 * values[-1]  # no eigenvalues near there, so that shares do not hang on where a node lies
    assert abs(weights[where > small].sum() - np.mean(values > small)) < 0.02
    statistics = clustering(objective)
    model = dl.theory.RandomModel(
        3, 120, objective.parameters, statistics.q_sl**0.5, (1 - statistics.q_sl) ** 0.5, point["sigma_z"]
    )
    x = torch.from_numpy(np.concatenate([x for x, _ in map(store.block, (0, 1))])).double()
    z = objective.logits(objective.leaves(), x)
    assert point["sigma_z"] == pytest.approx(float(z.detach().var(1).mean().sqrt()), rel=1e-6)
    assert point["model_ratio"] == pytest.approx(model.predict().trace_over_frobenius, rel=1e-6)
    planes = [c for c in whole.table("curvatures").to_pylist() if (c["multiple"], c["seed"]) == (1.0, 1)]
    curvatures = np.array([c["curvature"] for c in planes if c["plane"] == 12])
    assert len(curvatures) == 12
    assert values[0] <= curvatures[0]
    assert curvatures[-1] <= values[-1]
    (row,) = [p for p in whole.table("planes").to_pylist() if (p["multiple"], p["seed"], p["plane"]) == (1.0, 1, 12)]
    assert row["positive"] == np.mean(curvatures > 0)


def test_trainings_stay_where_they_were_told_to(whole):
    glorot = whole.result["schemes"]["glorot"]
    trainings = whole.table("trainings").to_pylist()
    for row in trainings:
        if row["mode"] == "sphere":
            assert row["end_radius"] == pytest.approx(row["multiple"] * glorot, rel=1e-5)
        assert row["distance"] > 0
    assert any(abs(r["end_radius"] / (r["multiple"] * glorot) - 1) > 1e-3 for r in trainings if r["mode"] == "free")


@pytest.mark.usefixtures("numbers_only")
def test_interrupted_and_resumed_gives_the_same_table(whole, tmp_path, capfd, monkeypatch):
    from distlandscape.studies import sweep

    original, calls = sweep.Sweep._ended, []

    def stop(self, *arguments):
        original(self, *arguments)
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep.Sweep, "_ended", stop)
    assert main(["goldilocks", *WORDS, "--workers", "0", "--out", str(tmp_path), "--json"]) == 130
    (path,) = (file.parent for file in tmp_path.glob("*/run.json"))
    capfd.readouterr()
    assert main(["resume", str(path), "--json"]) == 0
    resumed = dl.open_run(path)
    assert len(calls) == len(whole.log.events("trial"))
    assert {name: resumed.result[name] for name in NUMBERS} == {name: whole.result[name] for name in NUMBERS}


@pytest.mark.usefixtures("numbers_only", "ray_session")
def test_workers_give_the_same_bits(whole, tmp_path, capfd):
    found = run(tmp_path, capfd, workers="2")
    assert {name: found[name] for name in NUMBERS} == {name: whole.result[name] for name in NUMBERS}


@pytest.mark.usefixtures("numbers_only")
def test_where_a_point_stands(tmp_path, capfd):
    file = tmp_path / "its weights.safetensors"
    save_weights(build_model("mlp", (1, 8, 8), 3, {"hidden": [4]}, 9), file)
    found = run(tmp_path, capfd, "--point", str(file))
    point = found["point"]
    assert found["trainings"] == 0
    assert 0.25 < point["multiple"] < 4
    ratios = [row["ratio"] for row in found["radii"]]
    assert min(ratios) <= point["random_ratio"] <= max(ratios)
    low, high = found["zones"][0]["low"] or 0, found["zones"][0]["high"] or np.inf
    assert point["inside"] == (low <= point["multiple"] <= high)
    assert set(point["positive"]) == {"3", "12"}


def test_weights_of_another_model_are_refused_before_any_work(tmp_path, capfd):
    file = tmp_path / "weights.safetensors"
    save_weights(build_model("mlp", (1, 8, 8), 3, {"hidden": [5]}, 9), file)
    assert main(["goldilocks", *WORDS, "--point", str(file), "--workers", "0", "--out", str(tmp_path)]) == 2
    told = capfd.readouterr().err.strip()
    assert str(file) in told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("*/run.json"))


def test_weights_that_are_all_0_have_no_direction():
    store = dl.data.load_source("digits", samples=30)
    objective = dl.Objective(build_model("mlp", (1, 8, 8), 10, {"hidden": [4]}, 0), store)
    nowhere = objective.with_weights({k: torch.zeros_like(v) for k, v in objective.model.state_dict().items()})
    with pytest.raises(InputError, match="cannot be scaled"):
        at_radius(nowhere, 1.0)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_temperature_divides_logits_and_keeps_names(temperature):
    store = dl.data.load_source("digits", samples=60, classes=(0, 1))
    config = load_config(None, ["model.options={hidden: [4]}"])
    plain = random_point(config, 3, 1.0, 2.0, store, None, "float64")
    other = random_point(config, 3, temperature, 2.0, store, None, "float64")
    assert plain.names == other.names
    assert torch.equal(plain.theta, other.theta)
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(other.logits(other.leaves(), x), plain.logits(plain.leaves(), x) / temperature)


def test_radii_of_schemes():
    """784-200-200-10: 23.2 by Glorot, 28.6 by He; He's is that of an average draw of its own formula."""
    store = dl.data.load_source("digits", samples=30)
    objective = dl.Objective(build_model("mlp", (1, 8, 8), 10, {"hidden": [200, 200]}, 0), store)
    radii = scheme_radii(objective)
    by_hand = 64 * 200 * 2 / 264 + 200 * 200 * 2 / 400 + 200 * 10 * 2 / 210
    assert radii["glorot"] == pytest.approx(np.sqrt(by_hand))
    assert radii["he"] == pytest.approx(np.sqrt(2 * (200 + 200 + 10)))
    assert radii["lecun"] == pytest.approx(radii["he"] / np.sqrt(2))


def test_zone_ends_are_where_the_ratio_halves():
    radii = [{"multiple": m, "ratio": r} for m, r in [(0.1, 1.0), (1.0, 8.0), (10.0, 2.0), (100.0, 1.0)]]
    found = zone(radii)
    assert found["multiple"] == 1.0
    assert found["low"] == pytest.approx(10 ** (-1 + 3 / 7))
    assert found["high"] == pytest.approx(10 ** (2 / 3))
    assert zone(radii[1:])["low"] is None
    assert zone([{"multiple": 1.0, "ratio": -1.0}]) is None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("goldilocks.radii=[0]", "goldilocks.radii"),
        ("goldilocks.radii=[-1]", "goldilocks.radii"),
        ("goldilocks.planes=[9999]", "goldilocks.planes"),
        ("goldilocks.dims=[9999]", "d=9999"),
        ("goldilocks.temperatures=[0]", "goldilocks.temperatures"),
        ("goldilocks.modes=[sphere, sphere]", "names one twice"),
        ("goldilocks.point=missing.safetensors", "missing.safetensors"),
        ("objective.parameters=['*.bias']", "no weights of a layer"),
        ("train.steps=0", "train.steps"),
        ("model.weights=x.safetensors", "x.safetensors"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, capfd, key, words):
    assert main(["goldilocks", *WORDS, "--set", key, "--workers", "0", "--out", str(tmp_path)]) == 2
    told = capfd.readouterr().err.strip()
    assert words in told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("*/run.json"))
