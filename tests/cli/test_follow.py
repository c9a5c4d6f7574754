"""``distlandscape report --follow``, from its start to Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from distlandscape.cli.main import main
from tests.report.fabricate import make_run


def test_it_serves_until_ctrl_c_and_says_where_the_run_is(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    command = [sys.executable, "-m", "distlandscape.cli.main", "report", str(run.path), "--follow"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
        assert found
        assert "Ctrl-C" in process.stdout.readline()
        with urllib.request.urlopen(found[0], timeout=60) as answer:
            assert run.path.name in answer.read().decode()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert out == f"the run directory is {run.path}\n"
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "--follow"], "nowhere is not a run directory"),
        (["RUN", "--follow", "--json"], "--json prints one document"),
        (["RUN", "--port", "8000"], "add --follow"),
        (["RUN", "RUN", "--follow"], "one run at a time"),
        (["RUN", "--follow", "--out", "elsewhere"], "leave out --out"),
        (["RUN", "--follow", "--port", "70000"], "choose another with --port"),
    ],
)
def test_what_cannot_be_followed_is_a_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, tables=())
    assert main(["report", *(str(run.path) if a == "RUN" else a for a in arguments)]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
