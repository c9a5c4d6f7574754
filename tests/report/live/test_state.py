"""The state of a run that goes on, was cut off, or has ended, read from its directory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distlandscape.config import RunConfig
from distlandscape.convergence import ROUNDING
from distlandscape.errors import InputError
from distlandscape.record.run import Run, Stage
from distlandscape.report.live.density import density_so_far
from distlandscape.report.live.pursuit import SAMPLES, Course, pursuit
from distlandscape.report.live.state import Follower
from distlandscape.report.tables import load
from tests.helpers import chained
from tests.report.fabricate import LOWEST, TOP, P, make_run
from tests.report.live.conftest import CutOff

pytestmark = pytest.mark.xdist_group("live")  # they share a run

ALPHAS, BETAS = [3.0, 1.0, 2.0, -4.0], [0.5, 0.25, 1.0, 1e-4]


def begin(tmp_path: Path, study: str = "spectrum") -> Run:
    run = Run.create(tmp_path, study, RunConfig().model_dump(mode="json"), {})
    run.log.append("started", workers=2)
    return run


def steps(run: Run, name: str = "main", stage: str = "eigenpairs-000", **more: Any) -> None:
    line: dict[str, Any] = {"restarts": 0, "restart": None, "bands": [], "symmetry": 0.0, "files": {}, "vectors": 5}
    line |= {"alphas": ALPHAS, "betas": BETAS, "couplings": [[]] * len(ALPHAS)}
    run.log.append("steps", **{**line, "stage": stage, "name": name, **more})


def facts(state: dict[str, Any]) -> dict[str, str]:
    return dict(state["facts"])


def test_the_ritz_values_of_the_lanczos_run_under_way(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.log.append("begun", name="eigenpairs-000", top=2, low=1, tol=1e-2, dim=50)
    steps(run)
    exact, vectors = np.linalg.eigh(np.diag(ALPHAS) + np.diag(BETAS[:-1], 1) + np.diag(BETAS[:-1], -1))
    bounds = np.maximum(np.abs(BETAS[-1] * vectors[-1]), ROUNDING * np.finfo(np.float32).eps * np.abs(exact).max())
    follower = Follower(run.path)

    found = pursuit(follower.run())
    assert found is not None
    view = found.view(load(run))
    assert view.top is not None
    assert view.lowest is not None
    np.testing.assert_allclose(view.top.values, exact[:-3:-1])
    np.testing.assert_allclose(view.top.residuals, bounds[:-3:-1])
    np.testing.assert_allclose(view.lowest.values, exact[:1])

    with run.lease():
        state = follower.state()
    assert state["going"]
    assert facts(state)["Stage"] == "eigenpairs-000"
    assert facts(state)["Lanczos"] == "eigenpairs-000: Lanczos step 4"
    top, low = state["pairs"]
    assert top["title"] == "Largest, eigenpairs-000: Lanczos step 4"
    assert [row[0] for row in top["rows"]] == ["1", "2"]
    assert top["rows"][0][1] == f"{exact[-1]:.6f}"[: len(top["rows"][0][1])]
    assert [row[-1] for row in (*top["rows"], *low["rows"])] == [True, True, True]
    assert [figure["name"] for figure in state["figures"]] == ["ritz", "convergence"]


def test_lanczos_runs_that_follow_are_named_and_the_wanted_pairs_stay(tmp_path: Path) -> None:
    run = begin(tmp_path)
    steps(run)
    steps(run, "check-0", alphas=ALPHAS[:2], betas=BETAS[:2], couplings=[[0.0] * 3] * 2)
    found = pursuit(run)
    assert found is not None
    assert found.words == "eigenpairs-000: looking for missed copies, Lanczos step 2"
    spectrum = RunConfig().spectrum  # where the log has no aims
    assert (found.top, found.low, found.tol) == (spectrum.k, spectrum.lowest, spectrum.tol)
    assert found.run.steps == 4


def test_progress_workers_faults_stages_and_trials(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.log.append("begun", name="gradient-000")
    run.commit_stage("gradient-000", Stage({}, {"loss": 0.5, "converged": True, "trust": {"norm": 1.0}}))
    run.log.append("fault", text="worker 1 was lost; see https://me:secret@host/x")
    run.log.append("trial", key="a", outcome={"members": [{}, {}, {}]})
    run.write_progress({"now": "step 7", "done": 30.0, "planned": 120.0, "left": 600.0, "workers": 1})
    follower = Follower(run.path)
    with run.lease():
        state = follower.state()
    assert state["headline"] == "The run goes on: step 7."
    assert state["share"] == 0.25
    told = facts(state)
    assert told["Done"] == "30 of about 120 units of work"
    assert told["Expected end"].endswith(", in 10 min")
    assert told["Workers"] == "1 alive of 2"
    assert told["Trainings and points"] == "3 done"
    assert state["stages"][0][0] == "gradient-000"
    assert state["stages"][0][2] == "loss 0.5000; converged yes"
    assert "secret" not in json.dumps(state)
    assert state["faults"][0][1] == "worker 1 was lost; see https://***@host/x"


def test_the_progress_of_an_earlier_attempt_is_not_told(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.write_progress({"now": "step 7", "done": 30.0, "planned": 120.0, "left": 600.0, "workers": 1})
    run.log.append("started", workers=2)
    with run.lease():
        state = Follower(run.path).state()
    assert state["headline"] == "The run goes on: it has begun."
    assert state["share"] is None


def test_a_run_without_a_living_process_was_cut_off(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.write_progress({"now": "step 7", "done": 3.0, "planned": 12.0, "left": 600.0, "workers": None})
    follower = Follower(run.path)
    state = follower.state()
    assert not state["going"]
    assert "was cut off" in state["headline"]
    assert facts(state)["Status"] == "cut off"
    assert "Expected end" not in facts(state)
    assert state["share"] is None
    # Another machine is known by its heartbeat alone.
    (run.path / "lease.json").write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
    assert follower.state()["going"]


def test_the_density_so_far_is_atoms_and_the_quadrature_of_the_draws(tmp_path: Path) -> None:
    run = make_run(tmp_path, tables=("eigenvalues",), status=None, finished=False)
    run.log.append("begun", name="density", dim=P)
    known = TOP + LOWEST
    for name in ("draw-0", "draw-1"):
        steps(run, name, "density", couplings=[[0.0] * known] * 4)
    view = density_so_far(run, load(run))
    assert view.density is not None
    assert view.density.weight.sum() == pytest.approx(1)
    assert (view.density.draw < 0).sum() == known
    assert view.parameters == P
    mine = view.density.draw == 1
    # The first moment of a start's measure is its first diagonal entry.
    share = view.density.weight[mine].sum()
    assert view.density.weight[mine] @ view.density.node[mine] == pytest.approx(share * ALPHAS[0])
    state = Follower(run.path).state()
    assert "Eigenvalue density so far (step 4)" in [figure["title"] for figure in state["figures"]]


def test_without_the_eigenvalues_the_draws_stand_alone(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.log.append("begun", name="density", dim=P)
    steps(run, "draw-0", "density", couplings=[[0.0] * 3] * 4)
    density = density_so_far(run, load(run)).density
    assert density is not None
    assert (density.draw == 0).all()
    assert density.weight.sum() == pytest.approx(1)


def test_a_look_back_costs_little_and_ends_at_the_last_step(tmp_path: Path) -> None:
    run = begin(tmp_path)
    rng = np.random.default_rng(0)
    count = 300
    numbers = {"alphas": rng.standard_normal(count).tolist(), "betas": rng.uniform(0.1, 1, count).tolist()}
    steps(run, couplings=[[]] * count, **numbers)
    found = pursuit(run)
    assert found is not None
    course = Course()
    looks = course.looks(found, 1e-7)
    assert SAMPLES / 2 < len(looks) <= SAMPLES + 1
    assert looks[-1].step == count
    assert all(a is b for a, b in zip(looks, course.looks(found, 1e-7), strict=True))


def test_a_real_run_at_every_moment(whole_run: Run, cut_off: CutOff) -> None:
    events = whole_run.log.events()
    run = cut_off(lambda event: event["event"] == "started")
    seen = set()
    follower = Follower(run.path)
    for event in events[2:]:
        with run.log.path.open("a") as file:
            file.write(json.dumps(event) + "\n")
        state = follower.state()
        json.dumps(state, allow_nan=False)
        seen |= {figure["name"] for figure in state["figures"]}
    assert {"ritz", "convergence", "density"} <= seen
    assert state["status"] == "done"


def test_a_real_run_cut_off_in_its_eigenpairs(cut_off: CutOff, whole_run: Run) -> None:
    run = cut_off(lambda event: event["event"] == "steps" and event["stage"] == "eigenpairs-001")
    state = Follower(run.path).state()
    assert facts(state)["Stage"] == "eigenpairs-001"
    assert state["pairs"][0]["title"].startswith("Largest, eigenpairs-001")
    assert state["stages"][0][0] == "gradient-001"
    assert "loss" in state["stages"][0][2]
    run.log.path.write_bytes(chained(e for e in whole_run.log.events() if e["event"] != "stage"))
    found = pursuit(run)
    assert found is not None
    view = found.view(load(run))
    assert view.top is not None
    assert view.lowest is not None
    np.testing.assert_allclose(view.top.values, whole_run.result["eigenvalues"], rtol=1e-6)
    np.testing.assert_allclose(view.lowest.values[::-1], whole_run.result["lowest"], rtol=1e-6)


def test_a_real_run_cut_off_in_its_density(cut_off: CutOff, whole_run: Run) -> None:
    last = [event for event in whole_run.log.events("steps") if event["stage"] == "density"][-1]
    run = cut_off(lambda event: event == last)
    view = density_so_far(run, load(run))
    table = whole_run.table("density")
    assert view.density is not None
    assert table is not None
    order = np.argsort(view.density.node, kind="stable")
    np.testing.assert_allclose(view.density.node[order], table["node"].to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(view.density.weight[order], table["weight"].to_numpy(), rtol=1e-6, atol=1e-12)


def test_the_page_of_a_finished_run_is_found_once_its_writer_has_gone(whole_run: Run, cut_off: CutOff) -> None:
    follower = Follower(whole_run.path)
    assert follower.report == whole_run.path / "report.html"
    state = follower.state()
    assert state["report"]
    assert state["headline"] == "The run has ended (done): converged."
    with whole_run.lease():
        assert follower.report is None
    assert Follower(cut_off(lambda event: event["event"] == "stage").path).report is None


def test_no_line_is_read_twice_and_a_torn_one_waits(tmp_path: Path) -> None:
    run = begin(tmp_path)
    follower = Follower(run.path)
    assert len(follower.run().log.events()) == 2
    before = run.log.path.read_bytes()
    run.log.append("fault", text="x")
    whole = run.log.path.read_bytes()
    for length in range(len(before), len(whole)):
        run.log.path.write_bytes(whole[:length])
        assert len(follower.run().log.events()) == 2
    run.log.path.write_bytes(whole)
    assert [event["text"] for event in follower.run().log.events("fault")] == ["x"]
    # A line that the disk did not keep was taken back, and another one took its place.
    run.log.path.write_bytes(before)
    run.log.append("fault", text="another, and longer")
    run.log.append("fault", text="y")
    assert [event["text"] for event in follower.run().log.events("fault")] == ["another, and longer", "y"]


def test_a_log_that_was_changed_is_said(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.log.append("fault", text="x")
    follower = Follower(run.path)
    follower.run()
    run.log.append("fault", text="y")
    run.log.append("fault", text="z")
    run.log.path.write_bytes(run.log.path.read_bytes().replace(b'"y"', b'"Y"'))
    with pytest.raises(InputError, match=r"line 4 of .*log.jsonl was changed"):
        follower.run()


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_what_is_no_run_directory_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory"):
        Follower(tmp_path / name)


def test_progress_is_told_and_never_stops_a_run(tmp_path: Path) -> None:
    run = begin(tmp_path)
    assert run.progress == {}
    run.write_progress({"now": "x"})
    assert run.progress["now"] == "x"
    assert run.progress["time"] == pytest.approx(time.time(), abs=60)
    run.path.rename(tmp_path / "moved")
    run.write_progress({"now": "y"})
    assert run.progress == {}
