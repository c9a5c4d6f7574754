"""Studies as one call from Python."""

from __future__ import annotations

import signal
import threading

import pytest

import distlandscape as dl

SMALL = {
    "data": {"samples": 64},
    "model": {"options": {"hidden": [4]}},
    "train": {"steps": 5},
    "spectrum": {"k": 2, "lowest": 0, "density_steps": 5, "trace_probes": 2},
    "runtime": {"workers": 0, "threads": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, empty_database):
    tracking = {"uri": f"sqlite:///{empty_database}"}
    return dl.run_study("spectrum", {**SMALL, "tracking": tracking}, out=tmp_path_factory.mktemp("results"))


def test_a_study_hands_back_its_run(run):
    assert run.status == "done"
    assert len(run.result["eigenvalues"]) == 2
    assert run.table("density").num_rows >= 5
    assert dl.open_run(run.path).result == run.result


def test_a_study_in_a_thread_that_is_not_the_main_one(tmp_path, empty_database, run):
    """Where Python lets nobody handle signals: the same numbers, and the process's handlers stay what they were."""
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    config, done = {**SMALL, "tracking": {"uri": f"sqlite:///{empty_database}"}}, []
    thread = threading.Thread(target=lambda: done.append(dl.run_study("spectrum", config, out=tmp_path)))
    thread.start()
    thread.join()
    (beside,) = done
    assert (beside.status, beside.result["eigenvalues"]) == ("done", run.result["eigenvalues"])
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_a_run_shows_where_everything_is(run):
    text = repr(run)
    assert text.startswith("Run of spectrum: done\n")
    for word in (run.run_id, str(run.path), "report.html", "eigenvalues"):
        assert word in text
        assert word in run._repr_html_()


@pytest.mark.parametrize(
    ("study", "config", "sentence"),
    [
        ("spectra", None, "study 'spectra' is unknown; known: clustering, emergence"),
        ("quickstart", None, "known: "),
        ("spectrum", {"spectrum": {"kk": 1}}, "unknown configuration key 'spectrum.kk'"),
        ("spectrum", "nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_bad_input_is_a_sentence_and_leaves_nothing(tmp_path, study, config, sentence):
    with pytest.raises(dl.InputError, match=sentence):
        dl.run_study(study, config, out=tmp_path)
    assert not list(tmp_path.iterdir())
