"""Another user of the machine: nothing of a Ray, of ``up`` or of a job can be read, changed, replaced or talked to."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from distlandscape import ray_folder
from distlandscape.errors import InputError
from distlandscape.other_users import why_replaceable
from distlandscape.ray_folder import OwnRayFolder, make_ray_folder
from distlandscape.runtime import address, session
from distlandscape.service.state import State
from tests.security.intruder import NOBODY
from tests.service.test_real import SMALL, Shell

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def intrude(roots, pids=()):
    command = [sys.executable, "-m", "tests.security.intruder", json.dumps([[str(root) for root in roots], list(pids)])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@AS_ROOT
def test_the_intruder_does_what_is_left_open(tmp_path_factory):
    """Else the tests below would hold for an intruder that can do nothing at all."""
    open_ = Path(make_ray_folder())  # short enough for a socket, and opened below
    try:
        for folder in (open_, open_ / "packages"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
        (open_ / "packages" / "job.py").write_text("print('theirs')")
        (open_ / "packages" / "job.py").chmod(0o666)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(open_ / "socket"))
            server.listen()
            (open_ / "socket").chmod(0o777)
            found = intrude([open_])
    finally:
        ray_folder._remove(open_)
    kinds = {what.partition(" /")[0] for what in found["done"]}
    assert kinds == {"replace", "list", "create in", "enter", "read", "write", "connect to"}
    assert found["uid"] == NOBODY


LOCAL = """
import json, os, sys
from pathlib import Path
import ray
from distlandscape.runtime import Pool
from tests.processes import descendants
from tests.security.test_other_user import intrude

def folder(_):
    return ray._private.worker._global_node.get_session_dir_path()

with Pool(2, 0.5, threads=1) as pool:
    session = Path(pool.map_tasks(folder, [0])[0])
    root = session.parents[1]
    found = intrude([root], [os.getpid(), *descendants(os.getpid())])
    told = {"root": str(root), "beside": os.listdir(os.environ["TMPDIR"])}
print(json.dumps({**found, **told, "left": os.listdir(os.environ["TMPDIR"])}))
"""


@pytest.mark.attack
@AS_ROOT
def test_nothing_of_a_local_ray_is_within_reach():
    """Every folder, file and socket of it lies in a folder of this user's, which is gone afterwards."""
    place = make_ray_folder()  # as a folder for temporary files that nothing else writes to
    place.chmod(0o1777)
    short = place.rename(f"/tmp/dl-{os.getpid()}")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"TMPDIR": str(short), "RAY_ADDRESS": "local"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOCAL], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
    finally:
        ray_folder._remove(short)
    assert found["done"] == []
    assert found["sockets"] >= 2
    assert found["folders"] > 10
    assert Path(found["root"]).parent == short
    assert found["beside"] == [Path(found["root"]).name]  # and nothing where all may write
    assert found["left"] == []


@pytest.mark.attack
@AS_ROOT
@pytest.mark.timeout(400)
def test_nothing_of_up_and_its_jobs_is_within_reach(tmp_path):
    """A job's package cannot be swapped for one that the next job would run."""
    tmp_path.chmod(0o755)
    shell = Shell(tmp_path)
    shell.call("up", "--cpus", 2)
    try:
        settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
        shell.up = json.loads((tmp_path / "state" / "services.json").read_text())
        job = shell.call("submit", "spectrum", *settings, "--workers", 0, "--out", "results")["job_id"]
        assert shell.ended(job)["status"] == "SUCCEEDED"
        services = State(tmp_path / "state").read()
        packages = list(Path(services.temp).rglob("working_dir_files/_ray_pkg_*"))
        assert packages
        assert {stat.S_IMODE(package.parent.stat().st_mode) for package in packages} == {0o777}  # as Ray leaves it
        pids = [process.pid for process in services.everything()]
        found = intrude([services.temp, tmp_path / "state", tmp_path / "results"], pids)
        shared = [path for path in Path("/dev/shm").iterdir() if path.stat().st_mode & 0o077]
        assert found["done"] == []
        assert found["sockets"] >= 3
        assert not shared
    finally:
        shell.call("down")
    assert not Path(services.temp).exists()


@pytest.fixture
def started(monkeypatch):
    """What Ray was given by ``connect``, with nothing started."""
    given = {}

    def init(**options):
        given.update(options)
        given["modes"] = [stat.S_IMODE(Path(options["_temp_dir"]).parent.stat().st_mode)]
        Path(options["_temp_dir"]).mkdir(mode=0o777)

    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setattr(session, "is_connected", lambda: False)
    monkeypatch.setattr(session, "_users", 0)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return given


def test_a_local_ray_gets_a_folder_inside_of_a_private_one_that_goes_with_it(started):
    session.connect(1)
    folder = Path(started["_temp_dir"])
    assert started["modes"] == [0o700]
    assert folder.parent.name.startswith(ray_folder.PREFIX)
    session.disconnect()
    assert not folder.parent.exists()


KILLED = """
import os, signal
from distlandscape.ray_folder import OwnRayFolder
folder = OwnRayFolder()
folder.ray.mkdir(mode=0o777)
(folder.ray / "session").touch()
print(folder.ray.parent, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_else():
    command = [sys.executable, "-c", KILLED]
    left = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    assert (left / "ray" / "session").exists()
    lives, of_up, kept = OwnRayFolder(), make_ray_folder(), OwnRayFolder()
    kept.ray.mkdir()
    kept.keep()
    try:
        assert not left.exists()
        OwnRayFolder().remove()
        assert of_up.exists()  # it belongs to a service, whose processes outlive the command
        assert lives.ray.parent.exists()
        assert kept.ray.exists()  # for the logs in it
    finally:
        lives.remove()
        ray_folder._remove(of_up)
        ray_folder._remove(kept.ray.parent)
    assert not lives.ray.parent.exists()


def test_a_forked_process_removes_nothing():
    folder = OwnRayFolder()
    try:
        if not (child := os.fork()):
            folder.remove()
            os._exit(0)
        os.waitpid(child, 0)
        assert folder.ray.parent.exists()
    finally:
        folder.remove()


def test_no_ray_where_others_can_put_a_folder_in_its_place(tmp_path, monkeypatch):
    open_ = Path(f"/tmp/dl-{os.getpid()}")
    open_.mkdir()
    try:
        for mode, fit in ((0o777, False), (0o1777, True), (0o700, True)):
            open_.chmod(mode)
            monkeypatch.setenv("RAY_TMPDIR", str(open_))
            folder = make_ray_folder()
            assert (folder.parent == open_) is fit, oct(mode)
            folder.rmdir()
            assert ("can rename" in (why_replaceable(open_) or "")) is not fit
    finally:
        open_.rmdir()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 25)))
    monkeypatch.setattr(ray_folder, "why_replaceable", lambda folder: f"other users can rename what lies in {folder}")
    with pytest.raises(
        InputError, match=r"the path .* is too long for its sockets; other users can rename .* in /tmp;"
    ):
        make_ray_folder()


@AS_ROOT
def test_a_folder_of_another_user_is_no_state_folder(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    with pytest.raises(InputError, match=r"it belongs to another user.*set DISTLANDSCAPE_STATE to a folder of yours"):
        State(theirs).prepare()
    with pytest.raises(InputError, match="belongs to another user"):
        State(theirs / "mine").prepare()


FAKE = "import sys, time; print('up', flush=True); time.sleep(60)"


def test_auto_takes_no_program_at_its_word(tmp_path):
    """A command line can say anything, and so can the file where Ray writes what was started last."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    command = ["raylet", "-c", FAKE, "--gcs-address=127.0.0.1:9"]
    environment = {**os.environ, "RAY_TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, executable=sys.executable, env=environment, stdout=subprocess.PIPE) as fake:
        try:
            assert fake.stdout.readline() == b"up\n"
            assert "127.0.0.1:9" in address._untyped("ray._private.services").find_gcs_addresses()  # Ray believes it
            assert "127.0.0.1:9" not in address._own_addresses()
        finally:
            fake.kill()


def test_the_token_of_a_local_ray_is_never_readable_by_others(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    session._private_token()
    token = tmp_path / ".ray" / "auth_token"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (token.parent, token)] == [0o700, 0o600]
    written = token.read_text()
    assert len(written) == 64
    token.chmod(0o644)
    session._private_token()
    assert (stat.S_IMODE(token.stat().st_mode), token.read_text()) == (0o600, written)
