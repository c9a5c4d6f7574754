"""The script of the guide for Slurm, with stand-ins for Slurm and for the run: what a warning and an end lead to."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "slurm.md"
RUN = """#!/bin/bash
echo "$@" >> called
trap 'echo warned >> called; exit 130' USR1
touch begun
for _ in {1..600}; do [ -e over ] && exit 3; sleep 0.05; done
"""


@pytest.fixture
def script(tmp_path):
    """The script, beside programs that take the places of those it calls."""
    (body,) = re.findall(r"```sh\n(#!/bin/bash\n.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    for name, text in {"python": RUN, "scontrol": '#!/bin/bash\necho "$@" >> called\n', "job.sh": body}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    with subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env=environment) as process:
        deadline = time.monotonic() + 20
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process, tmp_path


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM], ids=lambda number: number.name)
def test_a_warning_is_handed_on_and_the_job_comes_back(script, number):
    process, folder = script
    process.send_signal(number)
    assert process.wait(20) == 130
    call, *after = (folder / "called").read_text().splitlines()
    assert call == "jobs/retry.py spectrum --config my.yaml --workers 4 --out /shared/results/7/0"
    assert after == ["warned", "requeue 7"]


def test_another_end_is_the_end(script):
    process, folder = script
    (folder / "over").touch()
    assert process.wait(20) == 3
    assert len((folder / "called").read_text().splitlines()) == 1
