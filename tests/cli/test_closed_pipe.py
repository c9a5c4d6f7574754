"""A reader that ends before the command does, as in ``distlandscape runs | head -1``."""

import os
import signal
import subprocess
import sys

import pytest

from distlandscape.cli import doctor
from distlandscape.cli.main import CLOSED_PIPE, main


def without_reader(*arguments, stderr):
    """Exit code and standard error of a command whose standard output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "distlandscape.cli.main", *arguments]
        buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        errors = writing if stderr else subprocess.PIPE
        done = subprocess.run(command, stdout=writing, stderr=errors, env=buffered, check=False)
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "stderr"),
    [(("doctor", "--help"), False), (("doctor", "--json"), False), (("doctor",), False), (("doctor",), True)],
    ids=str,
)
def test_no_traceback_and_the_code_of_a_closed_pipe(arguments, stderr, tmp_path, monkeypatch):
    monkeypatch.setenv("DISTLANDSCAPE_STATE", str(tmp_path))
    assert without_reader(*arguments, stderr=stderr) == (CLOSED_PIPE, None if stderr else b"")
    assert CLOSED_PIPE == 128 + signal.SIGPIPE


def test_another_broken_pipe_is_a_failure(monkeypatch, capfd):
    """A server that hangs up is not the reader of this command."""

    def fails(args):
        raise BrokenPipeError("the server hung up")

    monkeypatch.setattr(doctor, "run", fails)
    assert main(["doctor"]) == 1
    assert "BrokenPipeError: the server hung up" in capfd.readouterr().err


def test_a_mistake_that_nobody_reads_keeps_its_code():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "distlandscape.cli.main", "resume", "no/run"]
    assert subprocess.run(command, stdout=subprocess.PIPE, stderr=writing, check=False).returncode == 2
    os.close(writing)
