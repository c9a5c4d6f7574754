"""A disk that is full at any moment of a run costs nothing but time: make room, resume, the same bits."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.errors import WriteFailed
from distlandscape.files import write_bytes, write_text, write_whole
from distlandscape.record.lease import Lease
from distlandscape.record.run import Run
from distlandscape.studies import execute
from tests.studies.conftest import Unmirrored

pytestmark = [pytest.mark.attack, pytest.mark.timeout(900)]  # a busy machine takes minutes

MEGABYTES, FILLS, PAGE = 8, 10, 4096
KEYS = (
    "data.samples=128",
    "data.blocks=2",
    "model.options={hidden: [64]}",
    "train.steps=20",
    "train.checkpoints=3",
    "spectrum.k=3",
    "spectrum.lowest=2",
    "spectrum.density_steps=8",
    "spectrum.density_draws=2",
    "spectrum.trace_probes=4",
    "spectrum.tol=1e-3",
)
ARGUMENTS = ["spectrum", *(word for key in KEYS for word in ("--set", key)), "--workers", "0"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of a few megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


@contextlib.contextmanager
def filled(disk: Path, left: int) -> Iterator[None]:
    """The disk with so many bytes of room, in whole pages."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free(disk) - left) // PAGE * PAGE)
    try:
        yield
    finally:
        filler.unlink()


def numbers(run: Run) -> dict[str, object]:
    """All numbers of a run: its stages to the bit, and its result."""
    found: dict[str, object] = {}
    for name in run.stages():
        stage = run.stage(name)
        assert stage is not None
        found |= {f"{name}/{key}": array.tobytes() for key, array in stage.arrays.items()}
    kept = ("eigenvalues", "lowest", "trace", "frobenius")
    return found | {key: run.result[key] for key in kept}


@pytest.fixture
def _numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "MlflowMirror", Unmirrored)
    monkeypatch.setattr("distlandscape.report.png._png", lambda figure: b"\x89PNG" + b"x" * 20_000)
    monkeypatch.setattr("distlandscape.studies.training_record.FIRST_SECONDS", 0.0)
    monkeypatch.setattr("distlandscape.studies.training_record.COST_SHARE", 1e9)  # a state after every step


@pytest.mark.usefixtures("_numbers_only")
def test_a_run_whose_disk_fills_up_at_any_moment_goes_on_to_the_same_bits(
    disk: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    least = [free(disk)]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            least.append(free(disk))

    watching = threading.Thread(target=watch)
    room = free(disk)
    watching.start()
    try:
        assert main([*ARGUMENTS, "--out", str(disk / "whole")]) == 0
    finally:
        ended.set()
        watching.join()
    (path,) = disk.glob("whole/spectrum-*")
    expected, peak = numbers(dl.open_run(path)), room - min(least)
    assert peak > 50 * PAGE
    subprocess.run(["rm", "-r", str(disk / "whole")], check=True)
    moments, struck = random.Random(21), 0
    for number in range(FILLS):
        out = disk / f"out-{number}"
        left = peak * (number + moments.random()) / FILLS
        capfd.readouterr()
        with filled(disk, int(left)):
            code = main([*ARGUMENTS, "--out", str(out)])
            said = capfd.readouterr().err
            last = said.splitlines()[-1]
        if code != 0:
            struck += 1
            assert code in (1, 2)
            assert "Traceback" not in said
            assert last.startswith("distlandscape: ")
            assert "No space left on device" in last
            assert "make room" in last or "and the disk" in last
        runs = list(out.glob("spectrum-*"))
        if code != 0:
            command = ["resume", str(runs[0])] if runs else [*ARGUMENTS, "--out", str(out)]
            finished = runs and dl.open_run(runs[0]).status == "done"  # its page had no room
            assert main(["report", str(runs[0])] if finished else command) == 0
        (path,) = out.glob("spectrum-*")
        assert numbers(dl.open_run(path)) == expected
        assert not [file for file in path.rglob("*.part") if ".progress" not in file.name]
        assert (path / "report.html").read_bytes().rstrip().endswith(b"</html>")
        subprocess.run(["rm", "-r", str(out)], check=True)
    assert struck >= FILLS - 2


def test_no_kind_of_file_is_left_half_on_a_full_disk(disk: Path) -> None:
    """Whatever library writes it: what stood there before stands there still."""
    import pyarrow as pa
    from torch import nn

    from distlandscape.data import BlockStore
    from distlandscape.data.writer import write_file
    from distlandscape.models import save_weights
    from distlandscape.record.run import Stage

    rng = np.random.default_rng(0)
    run = Run.create(disk, "spectrum", {}, {})
    log = run.log.path.read_bytes()
    store = BlockStore.from_arrays(rng.standard_normal((300, 100)), np.arange(300) % 3, blocks=2)
    kinds = {
        "weights": lambda: save_weights(nn.Linear(100, 300), run.path / "weights"),
        "stage": lambda: run.commit_stage("x", Stage({"a": rng.standard_normal(30_000)}, {})),
        "table": lambda: run.write_table("x", pa.table({"a": rng.standard_normal(30_000)})),
        "result": lambda: run.write_result({"a": "x" * 200_000}),
        "text": lambda: write_text(run.path / "text", "x" * 200_000),
        "picture": lambda: write_bytes(run.path / "picture", b"x" * 200_000),
        "store": lambda: write_file(run.path / "store", store.write_into),
        "line": lambda: run.log.append("fault", text="x" * 200_000),
        "buffered": lambda: write_whole(run.path / "buffered", lambda part: part.write_bytes(b"x" * 200_000)),
    }
    before = sorted(disk.rglob("*"))
    for pages in (0, 1, 7, 20):
        with filled(disk, pages * PAGE):
            for write in kinds.values():
                with pytest.raises(WriteFailed, match="No space left on device"):
                    write()
        assert [path for path in sorted(disk.rglob("*")) if path.is_file() and path not in before] == []
        assert run.log.path.read_bytes() == log
    for name, write in kinds.items():
        write()
        assert list(run.path.rglob(f"*{name[:1]}*")), name
    assert [event["event"] for event in run.log.events()] == ["created", "stage", "fault"]


def test_neither_a_run_nor_a_lease_is_begun_on_a_full_disk(disk: Path) -> None:
    run = Run.create(disk, "spectrum", {}, {})
    present = sorted(disk.iterdir())
    with filled(disk, 0):
        with pytest.raises(WriteFailed), Lease(run.path):
            pass
        with pytest.raises(WriteFailed):
            Run.create(disk, "spectrum", {}, {})
    assert sorted(disk.iterdir()) == present
    with Lease(run.path):
        pass


FLOODED = """
import resource, sys
from pathlib import Path
from distlandscape.cli.main import main

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(main(sys.argv[2:]))
"""


def test_a_limit_on_the_size_of_files_ends_a_run_with_a_sentence(tmp_path: Path) -> None:
    """As a quota does; here in a process of its own, by the command line."""
    small = [sys.executable, "-c", FLOODED]
    for limit in (30_000, 100_000):
        out = tmp_path / str(limit)
        ended = subprocess.run(
            [*small, str(limit), *ARGUMENTS, "--out", str(out)], capture_output=True, text=True, check=False
        )
        assert ended.returncode in (1, 2), ended.stderr
        assert "Traceback" not in ended.stderr
        assert "File too large" in ended.stderr.splitlines()[-1]
        assert not list(out.rglob("*.part"))
