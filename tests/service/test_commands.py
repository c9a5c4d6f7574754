"""Commands of the service with a fake job server: what is sent, exit codes, one JSON document, one sentence."""

from __future__ import annotations

import json
import os
import shlex
import stat

import pytest
import yaml

from distlandscape.cli import study
from distlandscape.cli.main import main
from distlandscape.config import validate_config
from distlandscape.record.run import Run
from distlandscape.service import connect as connecting
from distlandscape.service.jobs import Jobs
from distlandscape.service.processes import Process
from distlandscape.service.state import Services, State
from distlandscape.studies import runner
from tests.service.fakes import FakeClient, details

ADDRESS = "http://127.0.0.1:9"  # nobody answers at this port, whatever else runs here
MLFLOW = "http://127.0.0.1:5000"


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A service that is up, with a job server in memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISTLANDSCAPE_STATE", str(tmp_path / "state"))
    client, state = FakeClient(), State(tmp_path / "state")
    state.prepare()
    me = Process.of(os.getpid())
    state.write(Services("stamp", {"ray": me, "mlflow": me}, ADDRESS, MLFLOW, "", ""))
    monkeypatch.setattr(connecting, "connect", lambda state, address=None: Jobs(client, address or ADDRESS))
    return client


def call(capfd, *arguments):
    code = main(list(arguments))
    out, err = capfd.readouterr()
    return code, out, err


def test_submit(client, tmp_path, capfd):
    (tmp_path / "c.yaml").write_text("data: {source: npz, path: here.npz}\nspectrum: {k: 4}\n")
    arguments = ("--config", "c.yaml", "--set", "train.steps=7", "--workers", "3", "--gpus-per-worker", "0.5")
    code, out, err = call(capfd, "submit", "spectrum", *arguments, "--id", "mine", "--out", "o ut", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["job_id"] == "mine"
    sent = client.sent["mine"]
    command = shlex.split(sent.entrypoint)
    assert command[1:] == [
        "-m",
        "distlandscape.cli.main",
        "spectrum",
        "--config",
        "config.yaml",
        "--out",
        f"{tmp_path}/o ut",
    ]
    config = validate_config(yaml.safe_load(sent.files["config.yaml"]))
    assert (config.spectrum.k, config.train.steps, config.runtime.workers, config.runtime.gpus_per_worker) == (
        4,
        7,
        3,
        0.5,
    )
    assert config.data.path == f"{tmp_path}/here.npz"
    assert config.tracking.uri == MLFLOW
    assert sent.metadata == {"study": "spectrum", "out": f"{tmp_path}/o ut", "config": "c.yaml"}


@pytest.mark.parametrize(
    ("study", "key"),
    [
        ("spectrum", "data.path"),
        ("spectrum", "model.weights"),
        ("emergence", "emergence.checkpoints"),
        ("goldilocks", "goldilocks.point"),
    ],
)
def test_paths_of_a_job_are_those_of_the_command(client, tmp_path, capfd, study, key):
    assert call(capfd, "submit", study, "--set", f"{key}=he re", "--id", "j")[0] == 0
    section, name = key.split(".")
    assert yaml.safe_load(client.sent["j"].files["config.yaml"])[section][name] == f"{tmp_path}/he re"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["model.name=mymodel:make"],
            "model.name=mymodel:make lies in mymodel.py beside you, where a job does not",
        ),
        (["model.name=mypackage.nets:make"], "mypackage.nets:make lies in mypackage beside you"),
        (["model.name=nowhere_at_all:make"], "nowhere_at_all:make is not installed in this environment, where a job"),
        (["data.source=torch", "data.path=mymodel:data"], "data.path=mymodel:data lies in mymodel.py beside you"),
    ],
)
def test_a_file_beside_the_user_is_none_of_a_job_s(client, tmp_path, capfd, settings, words):
    (tmp_path / "mymodel.py").write_text("make = data = None\n")
    (tmp_path / "mypackage").mkdir()
    assignments = [word for setting in settings for word in ("--set", setting)]
    code, out, err = call(capfd, "submit", "spectrum", *assignments)
    assert (code, out, client.sent) == (2, "", {})
    assert words in err
    assert "distlandscape down, then PYTHONPATH=" in err
    assert err.count("\n") == 1
    if "beside" in words:  # elsewhere it may be installed
        code, _, err = call(
            capfd, "submit", "spectrum", *assignments, "--address", "https://cluster:8265", "--id", "far"
        )
        assert (code, list(client.sent)) == (0, ["far"])
        assert "the cluster needs it installed" in err


def test_what_a_job_imports_is_sent_as_it_is(client, tmp_path, capfd):
    """An import path is no path of a file, whatever the key; a module that is installed is found."""
    settings = ["model.name=sklearn.utils:shuffle", "data.source=torch", "data.path=sklearn.utils:resample"]
    assignments = [word for setting in settings for word in ("--set", setting)]
    assert call(capfd, "submit", "spectrum", *assignments, "--id", "j")[0] == 0
    config = yaml.safe_load(client.sent["j"].files["config.yaml"])
    assert (config["model"]["name"], config["data"]["path"]) == ("sklearn.utils:shuffle", "sklearn.utils:resample")


def test_resume_of_a_job_s_id_where_nothing_is_up(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISTLANDSCAPE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    code, out, err = call(capfd, "resume", "spectrum-20260101-120000-abcd")
    assert (code, out) == (2, "")
    assert "is not a run directory, and nothing is up that could know a job of that name; give the path" in err
    run = Run.create(tmp_path / "results", "spectrum", {}, {})
    run.log.append("started", job="j")
    code, out, err = call(capfd, "resume", "j")
    assert (code, out) == (2, "")
    assert f"job j; its run goes on in this process with distlandscape resume results/{run.path.name}" in err
    assert err.count("\n") == 1


def test_a_foreign_cluster_gets_its_own_python_and_not_our_tracking_server(client, capfd):
    assert call(capfd, "submit", "train", "--address", "https://cluster:8265", "--id", "far")[0] == 0
    sent = client.sent["far"]
    assert shlex.split(sent.entrypoint)[0] == "python"
    assert yaml.safe_load(sent.files["config.yaml"])["tracking"]["uri"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["submit", "spectra"], "is no study"),
        (["submit", "spectrum", "--config", "planes.yaml"], "configuration of the study hyperplane, not of spectrum"),
        (["submit", "clustering", "--config", "planes.yaml"], "configuration of the study hyperplane, not of cluster"),
        (["submit", "spectrum", "--set", "spectrum.k=0"], "spectrum.k"),
        (["submit", "spectrum", "--set", "tracking.uri=http://me:pw@host"], "holds a name or password"),
        (["submit", "spectrum", "--id", "../../x"], "is no id of a job"),
        (["submit", "spectrum", "--id", "taken"], "a job taken is there already"),
        (["submit", "spectrum", "--config", "bomb.yaml"], "references"),
        (["submit", "spectrum", "--config", "large.yaml"], "larger than"),
        (["logs", "gone"], "no job gone is known"),
        (["logs", "-f", "gone"], "no job gone is known"),
        (["logs", "-f", "taken", "--json"], "leave out --follow"),
        (["status", "gone"], "no job gone is known"),
        (["stop", "gone"], "no job gone is known"),
        (["stop", "over"], "there is nothing to stop"),
        (["resume", "gone"], "no job gone is known"),
        (["resume", "taken"], "is RUNNING; stop it before"),
        (["resume", "over"], "left no run directory"),
        (["runs", "--uri", "sqlite:///none.db"], "there are no runs yet"),
        (["runs", "--limit", "0"], "give at least 1"),
        (["plan", "spectra"], "is no study"),
        (["plan", "spectrum", "--config", "planes.yaml"], "configuration of the study hyperplane, not of spectrum"),
        (["plan", "spectrum", "--counts", "1,x"], "is no list of numbers"),
        (["plan", "spectrum", "--counts", "0"], "at least 1"),
        (["plan", "spectrum", "--network-gbit", "0"], "must be above 0"),
    ],
)
def test_bad_input_is_one_sentence(client, tmp_path, capfd, arguments, words):
    (tmp_path / "planes.yaml").write_text("hyperplane: {seeds: 2}\n")
    (tmp_path / "bomb.yaml").write_text("a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(2**30)  # without a byte on the disk
    client.jobs |= {"taken": details("taken", "RUNNING"), "over": details("over", "SUCCEEDED", metadata={})}
    before = dict(client.sent)
    code, out, err = call(capfd, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert "pw" not in err
    assert client.sent == before


def test_down_with_nothing_up(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("DISTLANDSCAPE_STATE", str(tmp_path))
    code, out, err = call(capfd, "down")
    assert (code, out) == (2, "")
    assert "nothing is up" in err


def test_a_dead_address_is_a_sentence(tmp_path, monkeypatch, capfd):
    """The real client of Ray, and nobody at the other end."""
    for name in ("RAY_AUTH_MODE", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, "")
    code, out, err = call(capfd, "logs", "x", "--state", str(tmp_path), "--address", "http://127.0.0.1:9")
    assert (code, out) == (2, "")
    assert "no Ray job server answers at http://127.0.0.1:9" in err


def test_status_names_the_run(client, tmp_path, capfd):
    run = Run.create(tmp_path, "spectrum", {}, {})
    run.log.append("started", job="j")
    client.jobs["j"] = details("j", "RUNNING", metadata={"out": str(tmp_path)})
    code, out, _ = call(capfd, "status", "j", "--json")
    found = json.loads(out)
    assert code == 0
    assert {name: found[name] for name in ("job_id", "status", "run_id", "run_dir", "run_status")} == {
        "job_id": "j",
        "status": "RUNNING",
        "run_id": run.run_id,
        "run_dir": str(run.path),
        "run_status": "running",
    }
    code, out, _ = call(capfd, "status", "--json")
    assert [job["job_id"] for job in json.loads(out)["jobs"]] == ["j"]
    assert sorted(json.loads(out)["alive"]) == ["mlflow", "ray"]
    assert "RUNNING" in call(capfd, "status")[1]


def test_following_ends_with_the_code_of_the_job(client, capfd):
    client.jobs["j"] = details("j", "RUNNING")
    assert call(capfd, "logs", "-f", "j")[:2] == (3, "first\nsecond\n")
    assert json.loads(call(capfd, "logs", "j", "--json")[1]) == {"job_id": "j", "logs": "first\nsecond\n"}


def test_stop_and_resume_as_a_job(client, tmp_path, capfd):
    run = Run.create(tmp_path / "o ut", "spectrum", {}, {})
    run.log.append("started", job="j")
    client.jobs["j"] = details("j", "RUNNING", metadata={"out": str(tmp_path / "o ut")})
    assert call(capfd, "stop", "j")[0] == 0
    code, out, _ = call(capfd, "resume", "j", "--workers", "4", "--json")
    assert code == 0
    sent = client.sent[json.loads(out)["job_id"]]
    assert shlex.split(sent.entrypoint)[3:] == ["resume", str(run.path), "--workers", "4"]
    run.log.append("ended", status="done", detail="converged")
    code, _, err = call(capfd, "resume", str(run.path), "--submit")
    assert code == 2
    assert "is done and cannot go on" in err


def test_a_run_that_names_code_of_a_stranger_s_is_handed_over_with_trust_only(client, tmp_path, capfd):
    run = Run.create(tmp_path, "spectrum", {"model": {"name": "their.nets:make"}}, {})
    run.log.append("started", job="j")
    code, out, err = call(capfd, "resume", str(run.path), "--submit")
    assert (code, out) == (2, "")
    assert "would load the code 'their.nets:make'" in err
    assert client.sent == {}
    code, out, _ = call(capfd, "resume", str(run.path), "--submit", "--trust", "--json")
    assert code == 0
    sent = client.sent[json.loads(out)["job_id"]]
    assert shlex.split(sent.entrypoint)[3:] == ["resume", str(run.path), "--trust"]


def test_a_run_that_ended_as_it_was_stopped_is_not_offered_for_resume(client, tmp_path, capfd):
    run = Run.create(tmp_path, "spectrum", {}, {})
    run.log.append("started", job="j")
    run.log.append("ended", status="done", detail="converged")
    client.jobs["j"] = details("j", "RUNNING", metadata={"out": str(tmp_path)})
    out = call(capfd, "stop", "j")[1]
    assert f"its run had just ended: {run.path}" in out
    assert "resume" not in out


def test_every_study_can_be_a_job():
    assert {*study.STUDIES, "quickstart"} == {*runner.STUDIES, *runner.SWEEPS, runner.THEORY}


def test_doctor_finds_an_open_token(client, tmp_path, capfd):
    token = State(tmp_path / "state").make_token()
    lines = {line["name"]: line for line in json.loads(call(capfd, "doctor", "--json")[1])["lines"]}
    assert lines["token of up"]["level"] == "ok"
    assert lines["torch"]["level"] == "ok"
    assert lines["service ray"]["level"] == "error"  # nobody answers there
    token.chmod(0o644)
    code, out, _ = call(capfd, "doctor")
    assert code == 1
    assert f"chmod 600 {token}" in out
    assert stat.S_IMODE(token.stat().st_mode) == 0o644  # looking changes nothing
