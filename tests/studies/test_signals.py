"""A run that is asked to stop ends where it commits or waits: marked, exit code 130, resumable to the same bits."""

import os
import signal
import threading

import pytest

import distlandscape as dl
from distlandscape import stopping
from distlandscape.cli.main import main
from distlandscape.errors import Interrupted
from distlandscape.record import mlflow_mirror
from distlandscape.record.log import EventLog
from distlandscape.studies import execute
from distlandscape.studies.progress import Progress
from distlandscape.training import loop
from tests.studies.conftest import Unmirrored

SIGNALS = [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT]
WORK = ["data.samples=60", "model.options={hidden: [4]}", "train.steps=6", "train.batch_size=8"]
WORK += ["spectrum.k=2", "spectrum.density_steps=5", "spectrum.density_draws=1", "spectrum.trace_probes=2"]
NUMBERS = ("eigenvalues", "residuals", "trace", "loss")


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture(autouse=True)
def _handlers_are_given_back():
    before = handlers()
    yield
    assert handlers() == before


def spectrum(out):
    return ["spectrum", *(f"--set={s}" for s in WORK), "--workers", "0", "--json", "--out", str(out)]


def send(*numbers):
    """To this process; Python's handlers have run when it returns."""
    for number in numbers:
        os.kill(os.getpid(), number)


def at(monkeypatch, text, act):
    """``act`` once the progress of a run says what begins so; a fault of the user's is its error."""
    plain, struck = Progress.update, []

    def update(self, now):
        if now.startswith(text) and not struck:
            struck.append(now)
            act()
        plain(self, now)

    monkeypatch.setattr(Progress, "update", update)


def ended(out):
    (run,) = map(dl.open_run, out.glob("spectrum-*"))
    return run, run.log.events("ended")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(execute, "MlflowMirror", Unmirrored)
        out = tmp_path_factory.mktemp("undisturbed") / "out"
        assert main(spectrum(out)) == 0
        result = ended(out)[0].result
        return {name: result[name] for name in NUMBERS}


@pytest.mark.usefixtures("numbers_only")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", ["training: step 3", "eigenpairs-000: step 2", "writing the page"])
def test_a_run_is_marked_and_goes_on_to_the_same_bits(number, moment, undisturbed, tmp_path, monkeypatch, capfd):
    with monkeypatch.context() as once:
        at(once, moment, lambda: send(number))
        assert main(spectrum(tmp_path)) == 130
    said = capfd.readouterr().err
    assert "go on with: distlandscape resume" in said
    assert "Traceback" not in said
    run, (end,) = ended(tmp_path)
    assert (run.status, run.resumable, end["detail"]) == ("interrupted", True, f"stopped by {number.name}")
    assert not (run.path / "error.txt").exists()
    assert main(["resume", str(run.path), "--json"]) == 0
    result = ended(tmp_path)[0].result
    assert {name: result[name] for name in NUMBERS} == undisturbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_in_the_first_push_is_not_swallowed(number, tmp_path, monkeypatch, capfd):
    """To a server that does not answer: the mirror gives up with a warning, and the run does not go on."""

    def connect(uri):
        send(number)
        raise OSError("no answer")

    monkeypatch.setattr(mlflow_mirror, "connect", connect)
    assert main(spectrum(tmp_path)) == 130
    run, (end,) = ended(tmp_path)
    assert (run.status, end["detail"]) == ("interrupted", f"stopped by {number.name}")
    assert not run.stages()
    assert "the tracking server" in capfd.readouterr().err


@pytest.mark.usefixtures("numbers_only")
@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT,) * 2]
)
def test_further_signals_while_it_ends_leave_it_marked(first, second, tmp_path, monkeypatch):
    """Schedulers and people repeat themselves; only Ctrl-C cuts short what follows the mark: page and mirror."""
    plain, pages = EventLog.append, []

    def append(self, event, **fields):
        if event == "ended":
            send(second, second)
        plain(self, event, **fields)

    monkeypatch.setattr(EventLog, "append", append)
    monkeypatch.setattr("distlandscape.report.make_report", lambda path: (send(second), pages.append(path)))
    at(monkeypatch, "training: step 3", lambda: send(first))
    assert main(spectrum(tmp_path)) == 130
    run, (end,) = ended(tmp_path)
    assert (run.status, end["detail"]) == ("interrupted", f"stopped by {first.name}")
    assert len(pages) == (second != signal.SIGINT)


@pytest.mark.usefixtures("numbers_only")
@pytest.mark.parametrize(("kind", "code"), [(SystemError, 1), (SystemExit, None), (RuntimeError, 1)])
def test_what_a_stop_makes_others_raise_counts_as_the_stop(kind, code, tmp_path, monkeypatch):
    """As Ray's C code does with an exception of a handler, or workers that the same signal has ended."""

    def act(asked):
        if asked:
            send(signal.SIGTERM)
        raise kind("made of something else")

    with monkeypatch.context() as once:
        at(once, "training: step 3", lambda: act(True))
        assert main(spectrum(tmp_path / "asked")) == 130
    run, (end,) = ended(tmp_path / "asked")
    assert (run.status, end["detail"]) == ("interrupted", "stopped by SIGTERM")
    assert kind.__name__ in (run.path / "error.txt").read_text()  # all the same
    if code is not None:
        at(monkeypatch, "training: step 3", lambda: act(False))
        assert main(spectrum(tmp_path / "own")) == code
        assert ended(tmp_path / "own")[0].status == "failed"


@pytest.mark.usefixtures("numbers_only")
def test_code_that_looks_at_nothing_is_interrupted_after_a_while(tmp_path, monkeypatch):
    """As a network of the user's own that waits for ever."""
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.2)
    plain = loop._mean_loss

    def endless(*args):
        send(signal.SIGTERM)
        while True:
            threading.Event().wait(0.01)

    monkeypatch.setattr(loop, "_mean_loss", endless)
    assert main(spectrum(tmp_path)) == 130
    run, (end,) = ended(tmp_path)
    assert (run.status, end["detail"]) == ("interrupted", "stopped by SIGTERM")
    monkeypatch.setattr(loop, "_mean_loss", plain)
    assert main(["resume", str(run.path), "--json"]) == 0


@pytest.mark.usefixtures("numbers_only")
def test_before_there_is_a_run_a_signal_is_raised_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("distlandscape.studies.runner.check_training", lambda config: send(signal.SIGTERM))
    assert main(spectrum(tmp_path)) == 130
    assert not list(tmp_path.glob("spectrum-*"))


@pytest.mark.usefixtures("numbers_only")
def test_a_library_handles_no_signal(tmp_path, monkeypatch):
    """The handlers of the program that calls stand while a study runs, and what they do is the program's affair."""
    seen, before = [], handlers()
    at(monkeypatch, "training: step 3", lambda: seen.append(handlers()))
    config = {"data": {"samples": 60}, "train": {"steps": 6}, "runtime": {"workers": 0}}
    run = dl.run_study("train", config, out=tmp_path)
    assert (run.status, seen) == ("done", [before])


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with stopping.listening():
            assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGUSR2) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_nothing_that_catches_exceptions_catches_a_stop():
    assert not issubclass(Interrupted, Exception)


def test_a_thread_beside_a_run_is_asked_nothing():
    """It writes what the run will need when it goes on."""
    found = []

    def beside():
        try:
            stopping.look()
            found.append("nothing")
        except Interrupted:
            found.append("asked")

    with stopping.noting():
        stopping.ask("for a test")
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
        with pytest.raises(Interrupted, match="for a test"):
            stopping.look()
    stopping.look()
    assert found == ["nothing"]
