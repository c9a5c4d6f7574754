"""A local Ray listens on loopback only, and its token is the owner's."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from distlandscape.runtime import session
from tests.processes import descendants

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def _listening_addresses(pids: set[int]) -> set[str]:
    """Hexadecimal local addresses of the listening TCP sockets of these processes."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(descriptor.readlink())
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                addresses.add(fields[1].split(":")[0])
    return addresses


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_every_port_of_ray_is_on_loopback():
    addresses = _listening_addresses({os.getpid()} | descendants(os.getpid()))
    assert ray.is_initialized()
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert addresses
    assert addresses <= loopback, f"listens on {addresses - loopback}"


def test_token_file_is_private():
    token = Path.home() / ".ray" / "auth_token"
    assert token.exists()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_the_handler_of_sigterm_is_kept():
    """Ray's own, put in place as it connects, would end a run as if it had failed."""

    def ours(number, frame):
        raise AssertionError("not called")

    before = signal.signal(signal.SIGTERM, ours)
    try:
        with session.own_sigterm():
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


PROGRAM = """
import ctypes, json, signal
from distlandscape.runtime import session

def below():
    action = (ctypes.c_char * 512)()
    ctypes.CDLL(None).sigaction(signal.SIGTERM, None, action)
    return bytes(action[:8]).hex()  # the address of the handler that the kernel calls

def ours(number, frame): ...

signal.signal(signal.SIGTERM, ours)
seen = [below()]
session.connect(1)
seen.append(below())
session.disconnect()
seen.append(below())
print(json.dumps([seen, signal.getsignal(signal.SIGTERM) is ours]))
"""


def test_ray_replaces_no_handler_below_python_s():
    """Its own aborts the process, and is taken away as Ray ends, so that a signal then kills."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=150)
    seen, ours = json.loads(done.stdout)
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert ours
