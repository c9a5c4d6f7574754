"""The README promises nothing that no test holds: each promise, word for word, beside the tests that would fail."""

from __future__ import annotations

import re
import socket

import pytest

from distlandscape.cli.main import main
from tests.test_documentation import ROOT

HELD = {
    "one worker and many give the same bits": (
        "runtime/test_pool.py::test_three_workers_give_the_same_bits",
        "studies/test_emergence_study.py::test_workers_give_the_same_bits",
    ),
    "Every eigenvalue comes with a residual": ("spectral/test_eigenpairs.py::test_against_dense_eigenvalues",),
    "A run that is interrupted resumes to the same bits": (
        "studies/test_faults.py::test_a_killed_driver_is_resumed_by_others",
        "studies/test_train_study.py::test_killed_in_mid_training_and_resumed_ends_with_the_same_bits",
    ),
    "A pair that did not reach the tolerance is marked": (
        "report/test_page.py::test_what_has_not_converged_is_never_shown_as_if_it_had",
    ),
    "`--json` prints one JSON document and nothing else": ("cli/test_data_command.py::test_json",),
    "2 bad usage or input (one sentence says what to change)": (
        "cli/test_bad_input.py::test_one_sentence_and_exit_code_2",
    ),
    "3 finished but a requested tolerance was not reached": (
        "studies/test_spectrum_study.py::test_unconverged_is_said_and_exits_3",
    ),
    "130 interrupted and resumable": (
        "studies/test_spectrum_study.py::test_sigterm_marks_the_run_and_leaves_it_resumable",
    ),
    "It needs no network and can be sent to a colleague": ("report/test_page.py::test_the_page_loads_nothing",),
    "A tracking server that is away never stops a run": (
        "studies/test_spectrum_study.py::test_tracking_server_away_is_a_warning",
        "record/test_mlflow_outage.py::test_an_outage_in_the_middle_is_made_up_for_at_the_end",
    ),
    "A local Ray is started for the run, bound to this machine, and stopped with it": (
        "runtime/test_session.py::test_every_port_of_ray_is_on_loopback",
        "runtime/test_environment.py::test_a_hostile_environment",
    ),
    "Another Ray is joined only where `RAY_ADDRESS` names it": (
        "runtime/test_environment.py::test_a_running_ray_is_joined_and_left",
        "runtime/test_environment.py::test_no_cluster_is_named",
        "runtime/test_environment.py::test_a_ray_of_the_user_s_own",
    ),
    "Nothing is unpickled": (
        "models/test_weights.py::test_pickles_are_refused_and_not_run",
        "record/test_hostile_run.py::test_stages_are_not_unpickled",
        "record/test_hostile_run.py::test_a_configuration_constructs_no_objects",
    ),
    "Your own model code is loaded by import path": ("models/test_zoo.py::test_import_path_gets_the_options_alone",),
    "Input is checked before any worker starts": (
        "studies/test_refused_first.py::test_nothing_is_trained",
        "cli/test_bad_input.py::test_one_sentence_and_exit_code_2",
    ),
    "Dropout is off, normalisation layers use their stored statistics, and their buffers are never changed": (
        "test_objective.py::test_a_model_in_train_mode_is_measured_in_eval_mode_and_left_alone",
        "curvature/test_every_operator.py::test_a_net_in_train_mode_is_left_alone",
    ),
    "Nothing is downloaded": ("test_promises.py::test_no_connection_leaves_this_machine",),
}
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("promise", HELD)
def test_a_promise_is_made_and_held(promise):
    assert promise in README
    for name in HELD[promise]:
        file, _, function = name.partition("::")
        code = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {function}\(", code, flags=re.MULTILINE), name


def test_what_is_safe_by_default_is_all_held():
    """A point that is added to the list needs a test here."""
    section = re.search(r"## Safe by default\n(.*?)\n## ", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    points = [" ".join(point.split()) for point in re.split(r"^- ", section[1], flags=re.MULTILINE)[1:]]
    assert len(points) == 6
    assert [point for point in points if not any(promise in point for promise in HELD)] == []


def test_no_connection_leaves_this_machine(monkeypatch, tmp_path, capfd):
    """A whole study with its page and its record asks no other machine for anything, not even for a name."""
    asked = []

    def refuse(*arguments, **options):
        asked.append(arguments)
        raise OSError("no network here")

    def connect(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            refuse(address)
        return real(self, address)

    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    keys = ["data.samples=60", "data.classes=[0, 1, 2]", "model.options={hidden: [4]}", "train.steps=5", "spectrum.k=2"]
    words = [word for key in keys for word in ("--set", key)]
    assert main(["spectrum", *words, "--workers", "0", "--out", str(tmp_path)]) == 0
    assert asked == []
