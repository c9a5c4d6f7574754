"""Ray in a stranger's environment: which one is meant, what listens, what is said, and what is left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
import torch

from distlandscape.errors import InputError, WorkerFailure
from distlandscape.runtime import address, cluster, session

LINUX = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
SLOW = (pytest.mark.ray, pytest.mark.commands, pytest.mark.timeout(300), LINUX)
LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
ROOT = Path(__file__).parents[2]


def program(name, *arguments, **changes):
    """Command and environment of one of the programs of abroad.py; None takes a variable out."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTEST_"))}
    environment = {k: v for k, v in {**plain, "PYTHONPATH": str(ROOT), **changes}.items() if v is not None}
    return {"args": [sys.executable, "-m", "tests.runtime.abroad", name, *arguments], "env": environment, "cwd": ROOT}


def run(name, *arguments, **changes):
    done = subprocess.run(**program(name, *arguments, **changes), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def is_closed(found):
    """All that listened is on loopback, and nothing of it is left: no process, no socket, no variable, no handler."""
    addresses = {where.split(":")[0] for where in found["sockets"]}
    assert addresses, "the processes of a Ray listen somewhere"
    assert addresses <= set(LOOPBACK), f"listens on {addresses - set(LOOPBACK)}"
    assert found["right"]
    assert found["threads"] == [1]
    assert (found["left"], found["changed"], found["handler"]) == ([0, []], [], True)


@pytest.mark.ray
@pytest.mark.timeout(300)
@LINUX
def test_a_hostile_environment(tmp_path):
    """Long temporary folder, threads, the loopback switch turned the other way, a first attempt that fails."""
    long = tmp_path / ("long" * 25)
    long.mkdir()
    found = run(
        "alone",
        RAY_ADDRESS="local",
        TMPDIR=str(long),
        OMP_NUM_THREADS="3",
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="1",
    )
    is_closed(found)
    assert found["processes"] >= 4
    assert found["folder"].startswith("/tmp/dl-ray-")
    assert found["mode"] == 0o700
    assert not Path(found["folder"]).parents[1].exists()
    assert found["begun"] >= 1
    assert found["alive"] == []


@pytest.mark.ray
@pytest.mark.commands
@pytest.mark.timeout(300)
@LINUX
def test_a_ray_of_the_user_s_own():
    found = run("own")
    if not torch.cuda.is_available():  # one sentence, not workers that die
        assert found["gpu"].startswith("a GPU is reserved for each worker, but torch ")
    for transport in ("store", "collective"):
        said, seconds = found[transport]
        assert "has room for 1 of 2 workers that need 1 CPU each" in said
        assert seconds < 2
    for waiting, failed in (found["told"][:2], found["told"][2:4]):
        assert waiting.startswith(
            "1 of 1 workers are not up yet: each needs 1 CPU, free are 0 CPU and 1 GPU; waiting up to 1 s"
        )
        assert "1 of 1 workers did not start in 1 s" in failed
    assert found["right"]
    assert found["still"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"RAY_ADDRESS": None}, marks=SLOW),
        pytest.param({"RAY_ADDRESS": ""}, marks=SLOW),
        pytest.param({"RAY_ADDRESS": "local", "OMP_NUM_THREADS": None}, marks=SLOW),
    ],
    ids=str,
)
def test_a_ray_of_this_process_alone(changes):
    is_closed(run("local", **changes))


@pytest.mark.parametrize("name", [pytest.param("thread", marks=SLOW)])
def test_a_pool_in_a_thread(name):
    is_closed(run(name))


@pytest.mark.parametrize("way", [pytest.param(("wrong token", "no token", "address", "auto"), marks=SLOW)])
def test_a_running_ray_is_joined_and_left(way):
    found = run("own", *way)["others"]
    for refused in (found["wrong token"], found["no token"]):
        assert "wants another token" in refused["said"]
        assert refused["seconds"] < 10
        assert refused["kept"]
    for joined in (found["address"], found["auto"]):
        is_closed(joined)
        assert joined["processes"] == 0


@pytest.mark.parametrize("name", [pytest.param("struck", marks=SLOW)])
def test_sigterm_leaves_no_process(name):
    with subprocess.Popen(**program(name), stdout=subprocess.PIPE, text=True) as child:
        pids = json.loads(child.stdout.readline())
        child.send_signal(signal.SIGTERM)
        child.wait()
    deadline = time.monotonic() + 20
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)
    assert len(pids) >= 4


class Deaf:
    """A program that takes connections and never says a word."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def __exit__(self, *error):
        self.socket.close()


SENTENCES = {
    "http://127.0.0.1:8265": "Ray's Jobs API answers; hand the study over with distlandscape submit --address http://127",
    "https://me:secret@cluster:8265": "distlandscape submit --address https://cluster:8265",
    "http://": "http://HOST:PORT",
    "ray://127.0.0.1:10001": "begins with ray://, and a pool cannot compute through a Ray Client",
    "127.0.0.1:9": "no Ray answers at 127.0.0.1:9 (Connection refused)",
    "127.0.0.1": "neither HOST:PORT, auto nor local",
    "127.0.0.1:port": "neither HOST:PORT, auto nor local",
    "nowhere": "neither HOST:PORT, auto nor local",
    "127.0.0.1:9/": "'127.0.0.1:9/', which is neither HOST:PORT, auto nor local",
    "127.0.0.1:9/x": "neither HOST:PORT, auto nor local",
    "127.0.0.1:9?x=1": "neither HOST:PORT, auto nor local",
    "[::1:9": "neither HOST:PORT, auto nor local",
    "h" * 70 + ":9": "no Ray answers at hhh",
    "me:secret@127.0.0.1:9": "names a user or password before '127.0.0.1:9', and Ray's GCS knows none",
    "me:secret@nowhere": "names a user or password before 'nowhere'",
    "ray://me:secret@127.0.0.1:9": "names a user or password before '127.0.0.1:9'",
    "[::1]:9": "no Ray answers at [::1]:9",
}


@pytest.mark.parametrize("value", SENTENCES)
def test_an_address_that_cannot_be_joined_is_a_sentence_at_once(value, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", value)
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        address.find()
    assert SENTENCES[value] in str(caught.value)
    assert "unset RAY_ADDRESS to compute on a Ray of this process alone" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert time.monotonic() - began < address.CONNECT_SECONDS + 1


def test_a_port_that_holds_something_else(monkeypatch):
    monkeypatch.setattr(address, "ANSWER_SECONDS", 0.5)
    with Deaf() as where:
        monkeypatch.setenv("RAY_ADDRESS", where)
        with pytest.raises(InputError, match=r"something listens at .* but does not answer as Ray's GCS does"):
            address.find()


@pytest.mark.parametrize("value", [None, "", "local", " "])
def test_no_cluster_is_named(value, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    if value is not None:
        monkeypatch.setenv("RAY_ADDRESS", value)
    assert address.find() is None
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")  # a job, which belongs to its cluster
    assert address.named() == (None if value == "local" else "auto")


def test_auto_where_no_ray_runs(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(address, "_own_addresses", list)
    with pytest.raises(InputError, match="RAY_ADDRESS is auto, but no Ray of yours runs on this machine"):
        address.find()
    assert os.environ["RAY_ADDRESS"] == "auto"
    monkeypatch.setattr(address, "_own_addresses", lambda: ["127.0.0.1:8", "127.0.0.1:9"])  # the last that was started
    with pytest.raises(InputError, match=r"no Ray answers at 127\.0\.0\.1:9"), address.own_environment():
        address.find()


def test_the_environment_and_ray_s_token_are_as_they_were(monkeypatch):
    raylet = address._untyped("ray._raylet")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    raylet.Config.initialize("")
    with address.own_environment():
        os.environ["RAY_AUTH_MODE"] = "token"
        raylet.Config.initialize("")
        assert raylet.get_authentication_mode() == 1
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert raylet.get_authentication_mode() == 0


@pytest.mark.parametrize(
    ("error", "attempts", "kind", "words"),
    [
        (
            RuntimeError("busy\nand more"),
            2,
            WorkerFailure,
            r"did not come up .*, twice \(RuntimeError: busy\);",
        ),
        (TimeoutError("30 s"), 2, WorkerFailure, r"twice \(TimeoutError: 30 s\); its logs are in .*/ray: look there"),
        (
            PermissionError(13, "Permission denied", "/tmp/ray"),
            1,
            InputError,
            "Ray cannot keep its files .* set TMPDIR",
        ),
        (KeyboardInterrupt(), 1, KeyboardInterrupt, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ray_that_does_not_come_up(error, attempts, kind, words, monkeypatch):
    seen, before, handler = [], dict(os.environ), signal.getsignal(signal.SIGTERM)

    def init(**options):
        seen.append((options["address"], os.environ.get("RAY_ADDRESS"), os.environ[session.LOOPBACK]))
        raise error

    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setattr(session, "is_connected", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(kind, match=words):
        session.connect(1)
    assert seen == [("local", None, "0")] * attempts
    assert {**before, "RAY_ADDRESS": "local"} == dict(os.environ)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_studies_say_so_before_anything_is_done(monkeypatch, tmp_path):
    """No data is read, no run directory made, nothing trained; without workers no Ray is asked for."""
    import distlandscape as dl

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setattr(session, "is_connected", lambda: False)
    with pytest.raises(InputError, match=r"no Ray answers at 127\.0\.0\.1:9"):
        dl.run_study("spectrum", {"data": {"source": "npz", "path": "none.npz"}}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"none\.npz"):
        dl.run_study(
            "spectrum", {"data": {"source": "npz", "path": "none.npz"}, "runtime": {"workers": 0}}, out=tmp_path / "out"
        )


def test_an_autoscaler_is_told_from_a_mirror_of_the_nodes():
    """As Ray 2.60 writes it: of a head started by hand, and of one that a cluster file describes."""
    mirror = {"autoscaler_report": {"node_type_mapping": {"9e99": "node_9e99", "ab": "node_ab"}}}
    grows = {"autoscaler_report": {"node_type_mapping": {"10.0.0.1": "ray.head.default", "10.0.0.2": "gpu"}}}
    assert [cluster.names_types(status) for status in (mirror, grows, {}, {"autoscaler_report": None})] == [
        False,
        True,
        False,
        False,
    ]


def test_whole_workers_fit_onto_nodes(monkeypatch):
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 3.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    needs = [(1, 0), (2, 0), (3.5, 0), (0.1, 0), (1, 1), (1, 0.25)]
    found = [cluster.places({"num_cpus": cpus, "num_gpus": gpus}) for cpus, gpus in needs]
    assert found == [7, 3, 1, 70, 1, 4]
    assert cluster.has_lost_nodes()
    del nodes[-1]
    assert not cluster.has_lost_nodes()


def test_ray_s_second_autoscaler_has_nodes_of_named_groups(monkeypatch):
    """It writes no status, only that it is on; it is on, too, where it only mirrors what was started by hand."""
    labels, switch = {}, b"1"
    monkeypatch.setattr(cluster, "_nodes", lambda: [{"Alive": True, "Labels": labels}])
    monkeypatch.setattr(
        "ray.experimental.internal_kv._internal_kv_get", lambda key, namespace=None: switch if namespace else None
    )
    assert not cluster.adds_nodes()
    labels["ray.io/node-group"] = "gpu"
    assert cluster.adds_nodes()
    switch = None
    assert not cluster.adds_nodes()
