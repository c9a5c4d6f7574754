"""The hyperplane command: numbers, order, resume, budget, MLflow, page; trainings are short."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
import torch
from mlflow import MlflowClient

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.cli.summary import summary_lines
from distlandscape.config import RunConfig, load_config
from distlandscape.models import build_model
from distlandscape.report.hyperplane import answer, doubts
from distlandscape.report.plane_curves import crossing_words
from distlandscape.report.tables import load
from distlandscape.runtime.along import moved
from distlandscape.studies import hyperplane as study
from distlandscape.studies.hyperplane_planes import chosen_kind, hessian_planes, random_planes, trajectory_planes
from distlandscape.studies.hyperplane_task import PackTask, perform, training_samples
from distlandscape.training.rows import AllRows
from distlandscape.training.subspace import Recipe, train_pack, weights_along
from tests.report.reading import words_of

KEYS = [
    "data.samples=300",
    "model.options={hidden: [12]}",
    "train.steps=60",
    "train.batch_size=32",
    "train.optimizer=adam",
    "train.learning_rate=0.01",
    "hyperplane.learning_rate=0.1",
    "hyperplane.dims=[2, 16, 400]",
    "hyperplane.rounds=1",
    "hyperplane.seeds=3",
    "hyperplane.pack=2",
    "hyperplane.evaluate_every=20",
]
WORDS = [word for key in KEYS for word in ("--set", key)]


def run(out, capfd, *more, code=0, workers="0"):
    assert main(["hyperplane", *WORDS, *more, "--workers", workers, "--out", str(out), "--json"]) == code
    return json.loads(capfd.readouterr().out)


def trials(path):
    return dl.open_run(path).log.events("trial")


NUMBERS = ("d_int90", "dimensions", "series", "trainings", "metrics")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, empty_database):
    """One finished run, and where MLflow has it."""
    out = tmp_path_factory.mktemp("whole")
    (out / "mlflow.db").write_bytes(empty_database.read_bytes())
    assert main(["hyperplane", *WORDS, "--workers", "0", "--out", str(out)]) == 0
    (path,) = (file.parent for file in out.glob("*/run.json"))
    return dl.open_run(path)


def test_result_has_what_was_promised(whole):
    result = whole.result
    assert {"run_id", "run_dir", "report", "d_int90", "dimensions"} <= set(result)
    found = result["d_int90"]
    assert {"value", "low", "high", "baseline", "threshold"} <= set(found)
    assert found["threshold"] == pytest.approx(0.9 * found["baseline"])
    assert found["below"] <= found["value"] <= found["at"]
    assert result["status"] == "done"
    rows = [row for row in result["dimensions"] if row["kind"] != "full"]
    reached = [row["dimension"] for row in rows if row["accuracy"] >= found["threshold"]]
    assert min(reached) == found["at"]
    grid = [row["dimension"] for row in rows]
    assert grid == sorted(grid)
    assert {2, 16, 400} < set(grid)  # refined
    assert min(set(grid) - {2, 16, 400}) > 16


def test_tables_say_the_same(whole):
    trainings = whole.table("trainings").to_pylist()
    assert len(trainings) == whole.result["trainings"]
    for row in whole.result["dimensions"]:
        mine = [t for t in trainings if (t["kind"], t["dimension"]) == (row["kind"], row["dimension"])]
        assert [t["seed"] for t in mine] == [0, 1, 2]
        accuracies = [t["accuracy"] for t in mine]
        assert row["accuracy"] == pytest.approx(np.mean(accuracies))
        assert row["success"] == np.mean([a >= whole.result["d_int90"]["threshold"] for a in accuracies])
        assert row["success_low"] <= row["success"] <= row["success_high"]
    curves = whole.table("curves").to_pylist()
    assert {row["step"] for row in curves} == {0, 20, 40, 60}
    last = {(r["kind"], r["dimension"], r["seed"]): r["accuracy"] for r in curves if r["step"] == 60}
    assert all(last[t["kind"], t["dimension"], t["seed"]] == t["accuracy"] for t in trainings)


def test_a_training_is_the_one_of_its_seed(whole):
    """Model, samples and plane put together by hand; the held-out samples are the last fifth."""
    store = dl.data.load_source("digits", samples=300)
    rows = AllRows.of(store)
    objective = dl.Objective(build_model("mlp", (1, 8, 8), 10, {"hidden": [12]}, 1), store)
    recipe = Recipe(steps=60, learning_rate=0.01, optimizer="adam", batch_size=32, evaluate_every=20)
    (one,) = train_pack(
        [objective], None, [1], AllRows(rows.x[:240], rows.y[:240]), AllRows(rows.x[240:], rows.y[240:]), recipe
    )
    (found,) = [t for t in whole.table("trainings").to_pylist() if (t["kind"], t["seed"]) == ("full", 1)]
    assert found["loss"] == pytest.approx(one.loss, rel=1e-3)  # a pack's float32 against a single one's
    assert found["distance"] == pytest.approx(one.distance, rel=1e-3)


def test_mlflow_has_a_child_a_dimension(whole):
    client = MlflowClient(f"sqlite:///{whole.path.parent}/mlflow.db")
    parent = client.get_run(whole.result["run_id"])
    kept = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    children = client.search_runs([parent.info.experiment_id], kept)
    rows = whole.result["dimensions"]
    names = {f"{row['kind']}-{row['burn_in']}-d-{row['dimension']:06d}": row for row in rows}
    assert {child.info.run_name for child in children} == set(names)
    for child in children:
        row = names[child.info.run_name]
        series = f"{row['kind']}-{row['burn_in']}"
        assert child.data.metrics[f"{series}/accuracy"] == row["accuracy"]
    history = client.get_metric_history(parent.info.run_id, "auto-0/accuracy")
    assert sorted(point.step for point in history) == [r["dimension"] for r in rows if r["kind"] == "auto"]
    assert parent.data.metrics["d_int90/auto-0"] == whole.result["d_int90"]["value"]


def test_page(whole):
    page = (whole.path / "report.html").read_text(encoding="utf-8")
    assert "Training in a random plane of dimension" in page
    assert sorted(file.stem for file in (whole.path / "figures").iterdir()) == ["curves", "dimensions", "success"]
    assert "Parts are missing" not in page


@pytest.mark.usefixtures("numbers_only")
def test_killed_and_resumed_trains_nothing_twice(tmp_path, capfd, monkeypatch, whole):
    real, calls, done = study.perform, [], 5

    def dies(task):
        if len(calls) == done:
            raise MemoryError("on purpose")
        calls.append(task.key)
        return real(task)

    monkeypatch.setattr(study, "perform", dies)
    assert main(["hyperplane", *WORDS, "--workers", "0", "--out", str(tmp_path)]) == 1
    monkeypatch.setattr(study, "perform", lambda task: calls.append(task.key) or real(task))
    capfd.readouterr()
    assert main(["resume", str(tmp_path), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert len(set(calls)) == len(calls) == len(trials(result["run_dir"]))
    assert all(result[name] == whole.result[name] for name in NUMBERS)


@pytest.mark.usefixtures("numbers_only", "ray_session")
def test_workers_give_the_same_table(tmp_path, capfd, whole):
    result = run(tmp_path, capfd, workers="2")
    assert all(result[name] == whole.result[name] for name in NUMBERS)


def test_a_plane_beyond_the_first_that_falls_short_is_named(whole, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(whole.path, path)
    run = dl.open_run(path)
    assert not any(notice.title == "Accuracy falls again." for notice in doubts(load(run)))
    rows = run.table("dimensions").to_pylist()
    (largest,) = (row for row in rows if row["dimension"] == 400)
    run.write_table("dimensions", pa.Table.from_pylist([*rows, {**largest, "dimension": 500, "accuracy": 0.1}]))
    (notice,) = (notice for notice in doubts(load(run)) if notice.title == "Accuracy falls again.")
    assert "beyond it d = 500 fall short" in notice.text


def test_the_answer_calls_no_plane_random_that_is_not(whole, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(whole.path, path)
    for kind, words in (("fastfood", "a random plane"), ("trajectory", "a plane of its own trajectory")):
        result = {**whole.result, "series": [{**whole.result["series"][0], "kind": kind}]}
        (path / "result.json").write_text(json.dumps(result), encoding="utf-8")
        told = "".join(text for text, _ in answer(load(dl.open_run(path))))
        assert told.startswith(
            f"Training in {words} of dimension {whole.result['d_int90']['value']:.0f} (95 % interval "
        )


def test_what_is_planned_ends_with_the_sweep(whole):
    """Refinements that were planned and not needed are taken off the expected end."""
    assert whole.progress["planned"] == whole.progress["done"] == whole.result["trainings"]


def test_packs_and_their_keys(tmp_path):
    config = load_config(None, KEYS)
    task = PackTask(config, ("a", "1"), None, "dense", 0, 8, (0, 1))
    assert task.key == dataclasses.replace(task, train=("elsewhere", "1")).key  # the digest counts, not the path
    more = load_config(None, [*KEYS, "hyperplane.dims=[3]", "hyperplane.budget_trainings=99", "runtime.workers=7"])
    assert task.key == dataclasses.replace(task, config=more).key
    for changed in (
        dataclasses.replace(task, dim=9),
        dataclasses.replace(task, kind="hashed"),
        dataclasses.replace(task, burn_in=1),
        dataclasses.replace(task, seeds=(0,)),
        dataclasses.replace(task, train=("a", "2")),
        dataclasses.replace(task, config=load_config(None, [*KEYS, "hyperplane.learning_rate=0.2"])),
    ):
        assert changed.key != task.key


def test_a_run_begun_before_the_evaluated_samples_were_a_choice_keeps_its_trainings():
    """The key that a pack had then."""
    task = PackTask(RunConfig(), ("a", "d"), None, "dense", 0, 10, (0, 1))
    assert task.key == "fe4ce511b5aa1986"
    other = RunConfig.model_validate({"hyperplane": {"evaluate_on": "train"}})
    assert dataclasses.replace(task, config=other).key != task.key


@pytest.mark.usefixtures("numbers_only")
def test_kinds_starts_and_targets_are_compared(tmp_path, capfd):
    sets = ["hyperplane.kinds=[hashed, fastfood]", "hyperplane.burn_in=[0, 10]", "hyperplane.rounds=0"]
    sets += ["hyperplane.target_accuracy=0.6", "hyperplane.dims=[8, 256]", "hyperplane.seeds=2"]
    result = run(tmp_path, capfd, *(word for s in sets for word in ("--set", s)))
    named = [(one["kind"], one["burn_in"]) for one in result["series"]]
    assert named == [("hashed", 0), ("hashed", 10), ("fastfood", 0), ("fastfood", 10)]
    assert result["trainings"] == 2 * (1 + 4 * 2)
    assert result["target"]["threshold"] == 0.6
    told = "\n".join(summary_lines("hyperplane", result))
    page = words_of(dl.open_run(result["run_dir"]).path / "report.html")
    assert "Dimensions that are enough" in page
    for one in result["series"]:
        words = crossing_words(one["d_int90"])
        assert f"{one['kind']:<10} {one['burn_in']:>6}    {words}" in told
        assert words in page
        assert crossing_words(one["target"]) in page
    small = {(r["kind"], r["burn_in"]): r["accuracy"] for r in result["dimensions"] if r["dimension"] == 8}
    assert small["hashed", 10] > small["hashed", 0]  # a burnt-in start is better than a random one
    for row in result["dimensions"]:
        trainings = dl.open_run(result["run_dir"]).table("trainings").to_pylist()
        mine = [t["accuracy"] for t in trainings if all(t[k] == row[k] for k in ("kind", "burn_in", "dimension"))]
        assert row["success"] == pytest.approx(np.mean([a >= 0.6 for a in mine]))


@pytest.mark.usefixtures("numbers_only")
def test_one_plane_for_all_seeds(tmp_path, capfd):
    sets = [
        "hyperplane.shared_plane=true",
        "hyperplane.kinds=[dense]",
        "hyperplane.dims=[16, 400]",
        "hyperplane.rounds=0",
    ]
    result = run(tmp_path, capfd, *(word for s in sets for word in ("--set", s)))
    assert result["planes"] == "one for all seeds of a dimension"
    assert "One plane a dimension." in (dl.open_run(result["run_dir"]).path / "report.html").read_text()


@pytest.mark.usefixtures("numbers_only")
def test_a_budget_ends_the_sweep_with_what_there_is(tmp_path, capfd):
    result = run(tmp_path, capfd, "--budget", "11", code=3)
    assert result["trainings"] == 11
    assert result["budget_ended"]
    assert "the budget ended first" in result["status"]
    assert [row["dimension"] for row in result["dimensions"] if row["kind"] == "auto"] == [2, 16]


@pytest.mark.usefixtures("numbers_only")
def test_planes_of_the_network_itself(tmp_path):
    """A trajectory ends in its plane; a Hessian has its largest eigenvalues in its own, over what is trained on."""
    store = dl.data.load_source("digits", samples=100, into=tmp_path / "s.arrow")
    config = load_config(None, [*KEYS, "train.steps=12", "objective.dtype=float64"])
    _, rows, _ = training_samples((str(store.path), store.digest), None, 0.2)
    objectives = [dl.Objective(build_model("mlp", (1, 8, 8), 10, {"hidden": [5]}, s).double(), store) for s in (0, 1)]
    full = Recipe(steps=12, learning_rate=0.01, optimizer="adam", batch_size=32)
    start, end = weights_along(objectives, (0, 1), rows, full, [2, 12]).unbind(1)
    place = torch.device("cpu")
    for member, plane in enumerate(trajectory_planes(config, objectives, (0, 1), rows, full, 2, 10, place)):
        move = end[member] - start[member]
        assert torch.allclose(plane.lift(plane.pull(move)), move, rtol=0, atol=1e-10 * float(move.norm()))
    x, y = objectives[0].tensors(rows.x, rows.y, place)
    for member, plane in enumerate(hessian_planes(config, objectives, (0, 1), rows, full, 2, 3, place)):
        there = dl.Objective(moved(objectives[member], start[member] - objectives[member].theta).model, (x, y))
        H = torch.from_numpy(np.asarray(dl.Hessian(there) @ np.eye(there.parameters)))
        A = plane.lift(torch.eye(3, dtype=torch.float64)).T
        largest = torch.linalg.eigvalsh(H).flip(0)[:3]
        assert torch.allclose(torch.linalg.eigvalsh(A.T @ H @ A).flip(0), largest, rtol=1e-3)


@pytest.mark.usefixtures("numbers_only")
def test_a_trajectory_needs_fewer_dimensions_than_chance(tmp_path, capfd):
    sets = ["hyperplane.kinds=[auto, trajectory, hessian]", "hyperplane.dims=[4]", "hyperplane.rounds=0"]
    result = run(tmp_path, capfd, *(word for s in sets for word in ("--set", s)), code=3)
    accuracy = {row["kind"]: row["accuracy"] for row in result["dimensions"]}
    assert accuracy["trajectory"] > accuracy["auto"] + 0.3
    made = {row["kind"]: (row["made"], row["why"]) for row in result["dimensions"]}
    assert made["trajectory"] == ("trajectory", "")
    assert made["hessian"] == ("hessian", "")
    assert made["auto"] == ("dense", "dense: up to d = 32 its matrix is the fastest")
    assert made["auto"][1] in words_of(dl.open_run(result["run_dir"]).path / "report.html")


def test_a_kind_is_chosen_for_a_dimension_and_not_for_a_pack():
    """The last pack of five seeds by twos has one member, with as much memory as one of two."""
    h = load_config(None, ["hyperplane.pack=2", "hyperplane.memory_mb=2"]).hyperplane
    limit = 2**20 // 40  # parameters of which ten dense columns fill a half of the memory
    assert chosen_kind(h, "auto", limit, 10)[0] == "dense"
    kind, why = chosen_kind(h, "auto", limit + 1, 10)
    assert (kind, why.partition(":")[0]) == ("fastfood", "fastfood")
    for seeds in ((0, 1), (4,)):
        assert {plane.kind for plane in random_planes(h, "auto", limit + 1, 10, seeds)} == {"fastfood"}


def test_words_of_a_crossing_outside_what_was_tried():
    inside = {"value": 127.2, "low": 121.0, "high": 140.6, "below": 118, "at": 127, "threshold": 0.8}
    assert crossing_words(inside) == "127 (121 to 141)"
    assert crossing_words({**inside, "low": None}) == "127 (less than was tried to 141)"
    assert crossing_words({**inside, "high": None}) == "127 (121 to more than was tried)"
    assert crossing_words({**inside, "below": None, "low": None}) == "at most 127, the smallest tried"
    assert crossing_words({**inside, "value": None, "below": None, "at": None}) == "none that was tried"
    assert crossing_words({**inside, "threshold": None}) == "nothing to reach"


@pytest.mark.usefixtures("numbers_only")
def test_the_smallest_dimension_is_enough(tmp_path, capfd):
    result = run(tmp_path, capfd, "--set", "hyperplane.dims=[300, 400]", code=3)
    found = result["d_int90"]
    assert (found["value"], found["low"], found["below"], found["at"]) == (300, None, None, 300)
    assert result["status"].startswith("the smallest dimension already reaches 90 %")
    page = (dl.open_run(result["run_dir"]).path / "report.html").read_text(encoding="utf-8")
    assert ", the smallest tried, reaches 90 % of the accuracy in full space" in page


def test_no_time_left(tmp_path, capfd):
    assert main(["hyperplane", *WORDS, "--budget", "0.00000001m", "--workers", "0", "--out", str(tmp_path)]) == 2
    assert "the budget ended before the full space was trained" in capfd.readouterr().err


def test_planes_of_a_task_are_of_its_seed_and_dimension(tmp_path):
    store = dl.data.load_source("digits", samples=100, into=tmp_path / "s.arrow")
    config = load_config(None, [*KEYS, "train.steps=3"])
    task = PackTask(config, (str(store.path), store.digest), None, "dense", 0, 8, (0, 1))
    both, one = perform(task), perform(dataclasses.replace(task, seeds=(1,)))
    assert both["members"][1]["accuracy"] == one["members"][0]["accuracy"]
    assert both["members"][1]["distance"] == pytest.approx(one["members"][0]["distance"], rel=1e-4)
    assert both["members"][0]["distance"] != pytest.approx(one["members"][0]["distance"], rel=1e-3)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("hyperplane.dims=[100000]", "dimension d=100000 does not fit 910 parameters"),
        ("hyperplane.dims=[0]", "dimension d=0 does not fit 910 parameters"),
        ("hyperplane.dims=[]", "at least 1 item"),
        ("hyperplane.dims=[5, 5]", "names one twice"),
        ("hyperplane.kinds=[walsh]", "'auto', 'dense'"),
        ("hyperplane.burn_in=[70]", "goes beyond train.steps=60"),
        ("hyperplane.seeds=1", "greater than or equal to 2"),
        ("hyperplane.budget_trainings=0", "greater than or equal to 1"),
        ("hyperplane.budget_trainings=1", "allows no training: a pack has 2"),
        ("hyperplane.budget_trainings=4", "allows no comparison: the full space takes 3 and the first plane 2"),
        ("hyperplane.budget_minutes=0", "greater than 0"),
        ("hyperplane.stop_at_target=true", "needs a hyperplane.target_accuracy"),
        ("hyperplane.hold_out=1", "less than 1"),
        ("data.samples=1", "leaves none to train on"),
        ("train.steps=0", "leaves nothing to train"),
        ("hyperplane.kinds=[trajectory]", "a trajectory of 60 moves, too few for d=400"),
        (
            "hyperplane.shared_plane=true; hyperplane.kinds=[hessian]",
            "gives every seed a plane of its own",
        ),
        ("hyperplane.kinds=[hessian]; hyperplane.dims=null", "give small hyperplane.dims"),
        ("hyperplane.size=3", "unknown configuration key 'hyperplane.size'"),
    ],
)
def test_bad_input(tmp_path, capfd, key, message):
    sets = [word for one in key.split("; ") for word in ("--set", one)]
    assert main(["hyperplane", *WORDS, *sets, "--workers", "0", "--out", str(tmp_path / "out")]) == 2
    err = capfd.readouterr().err
    assert message in err
    (_,) = (line for line in err.splitlines() if not line.startswith("read "))  # progress, where the disk is slow
    assert not list(tmp_path.glob("out/*"))


def test_a_budget_in_no_unit(tmp_path, capfd):
    assert main(["hyperplane", *WORDS, "--budget", "3 hours", "--out", str(tmp_path / "out")]) == 2
    assert "neither a number of trainings" in capfd.readouterr().err
