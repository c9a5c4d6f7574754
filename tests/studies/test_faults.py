"""Whole runs that are disturbed end in the numbers of an undisturbed one; `make faults` strikes many more."""

import json
import signal
import subprocess
import sys

import pytest

from distlandscape.record.run import Run
from tests.faults import inside, outside, study

TRANSPORTS = ("store", "collective")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, empty_database):
    """In this process, without Ray."""
    out = study.tracked(tmp_path_factory.mktemp("undisturbed") / "out", empty_database)
    return study.measured(study.start(out, 0).run.path)


@pytest.fixture
def out(tmp_path, empty_database):
    return study.tracked(tmp_path / "out", empty_database)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_killed_worker_moves_no_bit(undisturbed, out, transport):
    struck = []
    run_dir = inside.disturbed(out, transport, 2, inside.strike_at(20, signal.SIGKILL, 1, struck))
    assert study.measured(run_dir) == undisturbed
    assert inside.recovery(run_dir, struck[0]) < 60
    run = Run.open(run_dir)
    assert any("was lost" in event["text"] for event in run.log.events("fault"))
    assert (run.result["workers"], run.result["transport"]) == (2, transport)
    assert not (run_dir / "basis").exists()


@pytest.mark.usefixtures("ray_session")
def test_a_killed_driver_is_resumed_by_others(undisturbed, out):
    """Vectors that two workers wrote are read by three, and then by the driver alone."""
    run_dir, _, _ = outside.end_at(out, 12, "collective", outside.kill)
    assert list((run_dir / "basis").glob("*/*/*/*.segments-00-02.safetensors"))  # one of the two slices
    fails_later = inside.watched(lambda pool: inside.arm_worker(pool, 0, "product", "fail", 60, None))
    with pytest.raises(ArithmeticError), fails_later:
        study.resume(run_dir, 3)
    study.resume(run_dir, 0)
    assert study.measured(run_dir) == undisturbed


@pytest.mark.ray
@pytest.mark.commands
def test_a_node_is_lost_and_another_added(empty_database, tmp_path):
    """Three nodes: with two of them the run goes on, and it takes up the new one."""
    arguments = [sys.executable, "-m", "tests.faults.nodes", tmp_path, empty_database, "collective"]
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["homes"], seen["with fewer"], seen["with the new one"]) == (3, 2, 3)
    assert any("is gone) was lost" in text for text in seen["faults"])
    assert seen["same"]
