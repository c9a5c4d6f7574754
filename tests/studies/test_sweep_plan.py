"""What ``plan`` says of sweeps: as many trainings as there can be, dealt out as a pool does; studies say it, too."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from distlandscape.cli.main import main
from distlandscape.config import load_config
from distlandscape.models import build_model
from distlandscape.studies import sweep_plan, training_task
from distlandscape.studies.context import build_objective, load_data
from distlandscape.studies.hyperplane import Packs
from distlandscape.studies.hyperplane_task import perform, prepare
from distlandscape.studies.plan import plan_study
from distlandscape.studies.runner import resolve
from distlandscape.studies.sweep_costs import Part, SweepCosts
from distlandscape.studies.training_task import Pace, pace

NET = ["data.samples=200", "model.options={hidden: [8]}", "train.steps=6", "runtime.workers=0"]
PLANES = [*NET, "hyperplane.dims=[2, 8]", "hyperplane.seeds=3", "hyperplane.pack=2", "hyperplane.rounds=1"]
ZONE = ["goldilocks.radii=[0.5, 1, 2]", "goldilocks.points=2", "goldilocks.planes=[2]", "goldilocks.norm_probes=2"]
ZONE = [*NET, *ZONE, "goldilocks.outliers=1", "goldilocks.dims=[2, 4]", "goldilocks.trainings=2"]
MODEL = ["theory.classes=3", "theory.examples=40", "theory.dim=200", "theory.draws=3", "theory.points=2"]
MODEL = [*MODEL, "theory.planes=[4, 6]", "theory.sets=[{dim: 150}]", "runtime.workers=0"]
PASSES = [*NET, "data.blocks=4", "spectrum.k=2", "spectrum.density_steps=5", "spectrum.trace_probes=2"]
STUDIES = {"hyperplane": PLANES, "goldilocks": ZONE, "theory": MODEL, "spectrum": PASSES}

PARTS = st.builds(Part, st.just(""), st.integers(0, 20), st.integers(0, 5), st.floats(0, 10))
COSTS = st.builds(
    SweepCosts, st.lists(st.lists(PARTS).map(tuple), max_size=3).map(tuple), st.floats(0, 1e9), st.floats(0, 1e9)
)


@given(COSTS, st.integers(1, 30))
def test_work_is_dealt_out_without_a_gap(costs, workers):
    """As any list schedule (Graham 1969): at least the work over the workers, at most the longest task more."""
    total = costs.plan(workers).total_seconds
    work = sum(part.tasks * part.seconds for part in costs.parts)
    longest = [max((part.seconds for part in phase if part.tasks), default=0.0) for phase in costs.phases]
    assert work / workers <= total * (1 + 1e-9) + 1e-9
    assert total <= work / workers + sum(longest) + 1e-9
    assert costs.plan(1).total_seconds == pytest.approx(work)


def test_a_phase_begins_when_the_one_before_has_ended():
    one = Part("", 1, 1, 2.0)
    assert SweepCosts(((one, one),), 0.0, 0.0).plan(8).total_seconds == 2.0
    assert SweepCosts(((one,), (one,)), 0.0, 0.0).plan(8).total_seconds == 4.0


def planned(study, *more):
    return plan_study(study, load_config(None, [*STUDIES[study], *more]), [1, 2])[0]


def test_of_planes_all_seeds_of_all_dimensions_are_counted():
    costs = planned("hyperplane", "hyperplane.burn_in=[0, 3]", "hyperplane.kinds=[dense, hashed]")
    assert costs.trainings == 3 * (1 + 2 * 2 * (2 + 2))  # full space; kinds, burn-ins, grid and one refinement
    assert costs.tasks == 2 * (1 + 2 * 2 * (2 + 2))  # packs of two, and of one
    assert [sum(p.tasks * p.trainings for p in phase) for phase in costs.phases] == [3 * 9, 3 * 8]
    seconds = {part.name: part.seconds for part in costs.parts if part.trainings == 2}
    assert seconds["dense, d = 8, after 3 steps"] > seconds["dense, d = 8"] > 0
    assert costs.sample_bytes == 200 * (64 * 4 + 8)


def test_planes_of_the_network_cost_what_comes_before_them(monkeypatch):
    """A trajectory is a training in full space first, eigenvectors are passes over the data."""
    monkeypatch.setattr(sweep_plan, "pace", lambda prepare, steps: Pace(5.0, 0.25, 0.0, 0.0))
    monkeypatch.setattr(sweep_plan, "measure", lambda *question, seconds: SimpleNamespace(blocks=4, block_seconds=0.5))
    kinds = "hyperplane.kinds=[dense, trajectory, hessian]"
    costs = planned("hyperplane", "train.steps=400", "hyperplane.steps=8", "hyperplane.dims=[2]", kinds)
    seconds = {part.name: part.seconds for part in costs.parts if part.trainings == 2}
    alone = 5 + 8 * 0.25
    assert seconds["full space"] == 5 + 400 * 0.25
    assert seconds["dense, d = 2"] == alone
    assert seconds["trajectory, d = 2"] == alone + 400 * 0.25
    assert seconds["hessian, d = 2"] == alone + 2 * 3 * 2 * (4 * 0.5)  # members, passes, dimensions, a pass
    assert costs.trainings == 3 * (1 + 3 * (1 + 2))


@pytest.mark.parametrize(("budget", "trainings"), [(5, 5), (7, 6), (1000, 15)])
def test_a_budget_of_trainings_is_kept_to(budget, trainings):
    assert planned("hyperplane", f"hyperplane.budget_trainings={budget}").trainings == trainings


def test_of_the_zone_points_and_trainings_are_counted(tmp_path):
    costs = planned("goldilocks")
    points, trained = costs.phases
    assert [(part.name, part.tasks, part.trainings) for part in points] == [("point", 6, 0)]
    assert {part.name: part.tasks for part in trained} == {
        f"{m}, d = {d}": 3 for m in ("sphere", "free") for d in (2, 4)
    }
    assert costs.trainings == 2 * 12
    assert all(part.seconds > 0 for part in costs.parts)
    weights = tmp_path / "weights.safetensors"
    save_file(build_model("mlp", (1, 8, 8), 10, {"hidden": [8]}, 0).state_dict(), weights)
    (points, trained) = planned("goldilocks", f"goldilocks.point={json.dumps(str(weights))}").phases
    assert (points[0].tasks, trained) == (7, ())


def test_of_theory_draws_are_counted():
    costs = planned("theory")
    assert [sum(part.tasks for part in phase) for phase in costs.phases] == [3, 3 * 2, 2, 3]
    assert costs.trainings == 0


def test_a_planned_pack_agrees_with_one_that_is_trained(tmp_path, monkeypatch):
    """In turns, by the processor's time: the median ratio is within 25 %."""
    monkeypatch.setattr(training_task, "time", SimpleNamespace(perf_counter=time.process_time))
    more = ["train.steps=150", "hyperplane.evaluate_every=50", "data.samples=600", "model.options={hidden: [64, 64]}"]
    config = resolve(load_config(None, [*PLANES, *more]), "hyperplane")
    data = load_data(config, "train", 600, tmp_path / "store.arrow", lambda text: None)
    objective = build_objective(config, data)
    task = Packs(config, data, None, objective.parameters).of(("dense", 0), 8)[0]
    perform(task)
    ratios = []
    for _ in range(5):
        expected = pace(lambda: prepare(task), 16).seconds(150, 50)
        began = time.process_time()
        perform(task)
        ratios.append(expected / (time.process_time() - began))
    assert 0.75 < np.median(ratios) < 1.25


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_says_what_it_will_take_when_it_starts(study, tmp_path, capfd, numbers_only):
    words = [word for key in STUDIES[study] for word in ("--set", key)]
    assert main([study, *words, "--out", str(tmp_path), "--json"]) in (0, 3)
    err = capfd.readouterr().err
    told = "passes over the data: about" if study == "spectrum" else "tasks"
    (line,) = (line for line in err.splitlines() if told in line and "GB on disk" in line)
    assert " s on 1 worker, " in line
    if study in ("hyperplane", "goldilocks"):
        (run,) = tmp_path.glob(f"{study}-*")
        trained = json.loads((run / "result.json").read_text())["trainings"]
        assert trained <= int(line.split(" trainings")[0].split()[-1])


def test_a_plan_of_a_sweep_is_a_table_and_leaves_nothing(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = [word for key in PLANES for word in ("--set", key)]
    assert main(["plan", "hyperplane", *words, "--counts", "1,4"]) == 0
    out = capfd.readouterr().out
    assert "at most 10 tasks with 15 trainings" in out
    assert "full space" in out
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["1", "4"]
    assert main(["plan", "hyperplane", *words, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert [plan["workers"] for plan in document["plans"]] == [1, 2, 4, 8, 16, 32, 64]
    assert document["costs"]["phases"][0][0]["name"] == "full space"
    assert list(Path(tmp_path).iterdir()) == []
