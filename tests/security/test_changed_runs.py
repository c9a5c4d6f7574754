"""A run directory that somebody changed, or filled with links, is not gone on with, and nothing outside is touched."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import distlandscape as dl
from distlandscape.cli.main import main
from distlandscape.studies import execute
from tests.helpers import chained
from tests.studies.conftest import Unmirrored

SMALL = (
    "data.samples=64",
    "data.blocks=2",
    "model.options={hidden: [8]}",
    "train.steps=3",
    "spectrum.k=2",
    "spectrum.lowest=1",
    "spectrum.density_steps=4",
    "spectrum.density_draws=1",
    "spectrum.trace_probes=2",
    "spectrum.tol=0.1",
)


@pytest.fixture(autouse=True)
def _numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "MlflowMirror", Unmirrored)
    monkeypatch.setattr("distlandscape.report.png._png", lambda figure: b"")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as it was interrupted after its eigenpairs; its data lie beside it."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "MlflowMirror", Unmirrored)
        patch.setattr("distlandscape.report.png._png", lambda figure: b"")
        words = [word for key in SMALL for word in ("--set", key)]
        assert main(["spectrum", *words, "--workers", "0", "--out", str(out)]) == 0
    (path,) = out.glob("spectrum-*")
    lines = (path / "log.jsonl").read_bytes().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if b'"event": "stage", ' in line and b"eigenpairs" in line)
    (path / "log.jsonl").write_bytes(b"".join(lines[: last + 1]))
    return path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole.parent, tmp_path / "out")
    return tmp_path / "out" / whole.name


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Files of the user's elsewhere."""
    folder = tmp_path / "victim"
    (folder / "deeper").mkdir(parents=True)
    for name in ("secret", "deeper/step-000001.safetensors", "deeper/note.png"):
        (folder / name).write_text("mine")
    return folder


def refused(capfd: pytest.CaptureFixture[str], *command: str) -> str:
    """What a command that must be refused says, in one sentence."""
    assert main(command) == 2
    said = capfd.readouterr().err
    *before, last = said.splitlines()
    assert last.startswith("distlandscape: ")
    assert "Traceback" not in said
    assert not before or "run directory:" in before[0]  # else nothing was begun
    return last


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_untouched_it_goes_on_and_ends_with_the_same_numbers(run: Path, whole: Path) -> None:
    assert main(["resume", str(run)]) == 0
    assert dl.open_run(run).result["eigenvalues"]


LINKS: dict[str, Callable[[Path, Path], None]] = {
    "log": lambda run, victim: link(run / "log.jsonl", victim / "secret"),
    "training": lambda run, victim: link(run / "training", victim / "deeper"),
    "basis": lambda run, victim: link(run / "basis", victim),
    "deep in the basis": lambda run, victim: link(run / "basis" / "density" / "draw-0", victim / "deeper"),
    "figures": lambda run, victim: link(run / "figures", victim / "deeper"),
    "a figure": lambda run, victim: link(run / "figures" / "x.png", victim / "deeper" / "note.png"),
    "report": lambda run, victim: link(run / "report.html", victim / "secret"),
    "stages": lambda run, victim: link(run / "stages", victim / "deeper"),
    "tables": lambda run, victim: link(run / "tables", victim / "deeper"),
    "a table": lambda run, victim: link(run / "tables" / "x.parquet", victim / "secret"),
    "weights": lambda run, victim: link(run / "weights", victim / "deeper"),
    "result": lambda run, victim: link(run / "result.json", victim / "secret"),
    "error": lambda run, victim: link(run / "error.txt", victim / "secret"),
    "progress": lambda run, victim: link(run / ".progress.json.part", victim / "secret"),
    "lease": lambda run, victim: link(run / "lease.json", victim / "secret"),
    "memory of the mirror": lambda run, victim: link(run / "mlflow.json", victim / "secret"),
    "to nothing": lambda run, victim: link(run / "nowhere", victim / "absent"),
}


def link(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("name", LINKS)
def test_links_are_refused_by_all_that_write_delete_or_send(
    name: str, run: Path, victim: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    LINKS[name](run, victim)
    monkeypatch.setattr("distlandscape.record.mlflow_mirror.MlflowMirror.push", forbidden)
    before = contents(victim)
    for command in (["resume", str(run)], ["mlflow-sync", str(run)], ["report", str(run)]):
        said = refused(capfd, *command)
        assert "a symbolic link" in said or "is a link" in said
    assert contents(victim) == before


def forbidden(*arguments: Any, **named: Any) -> None:
    raise AssertionError("the check came too late")


@pytest.mark.parametrize("name", ["log.jsonl", "tables/pipe", "mlflow.json", "lease.json"])
def test_pipes_and_sockets_are_refused_and_hang_nobody(
    name: str, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    for command in ("resume", "mlflow-sync", "report"):
        assert "pipe" in refused(capfd, command, str(run))
    (run / name).unlink()
    monkeypatch.chdir(run)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        assert "socket" in refused(capfd, "resume", str(run))


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_what_makes_a_folder_a_run_is_no_link_and_no_pipe(
    name: str, run: Path, victim: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(run / name, victim / "copy")
    link(run / name, victim / "copy")
    for command in ("resume", "mlflow-sync", "report"):
        refused(capfd, command, str(run))
    (run / name).unlink()
    os.mkfifo(run / name)
    for command in ("resume", "mlflow-sync", "report"):
        refused(capfd, command, str(run))


def test_a_second_name_of_a_file_elsewhere_is_refused(
    run: Path, victim: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (run / "figures").mkdir(exist_ok=True)
    os.link(victim / "secret", run / "figures" / "secret.png")
    for command in ("resume", "mlflow-sync"):
        assert "hard link" in refused(capfd, command, str(run))


def test_links_above_the_run_and_the_run_itself_are_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to(run.parent)
    (tmp_path / "mine").symlink_to(tmp_path / "results" / run.name)
    assert main(["resume", str(tmp_path / "mine")]) == 0
    assert main(["report", str(tmp_path / "results" / run.name)]) == 0


KEYS: dict[str, tuple[str, Any]] = {
    "train.seed": ("train", 1),
    "objective.dtype": ("objective", "float64"),
    "spectrum.tol": ("spectrum", 0.2),
    "spectrum.k": ("spectrum", 1),
    "data.path": ("data", "/elsewhere"),
    "model.name": ("model", "linear"),
    "runtime.threads": ("runtime", 2),
    "runtime.micro_batch": ("runtime", 7),
    "runtime.channels_last": ("runtime", False),
}


def edit(run: Path, key: str, value: Any) -> None:
    section, name = key.split(".")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config[section][name] != value
    config[section][name] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_configuration_is_refused(key: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(run, key, KEYS[key][1])
    assert "config.yaml was changed after the run began; put it back" in refused(capfd, "resume", str(run))


def test_where_it_computes_and_who_follows_it_may_change(run: Path, tmp_path: Path) -> None:
    edit(run, "runtime.memory", 10**9)
    edit(run, "runtime.cpus_per_worker", 2)
    edit(run, "tracking.experiment", "another")
    assert main(["resume", str(run), "--workers", "0"]) == 0


@pytest.mark.parametrize(
    "done",
    [
        lambda known: known["stores"]["measured"].update(path="/elsewhere.arrow"),
        lambda known: known.pop("stores"),
        lambda known: known.update(stores=None),
        lambda known: known.update(stores=[]),
        lambda known: known["digests"].update(config="0" * 64),
        lambda known: known.update(run_id="0" * 32),
        lambda known: known.update(more=1),
    ],
)
def test_a_changed_identity_is_refused(
    done: Callable[[dict[str, Any]], object], run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    known = json.loads((run / "run.json").read_text())
    done(known)
    (run / "run.json").write_text(json.dumps(known))
    assert "run.json was changed after the run began; put it back" in refused(capfd, "resume", str(run))


@pytest.mark.parametrize(
    "odd",
    [
        '{"run_id": 3, "study": "spectrum"}',
        '{"run_id": "x", "study": ["spectrum"]}',
        '{"run_id": "x"}',
        "[]",
        "[" * 100_000,
        "",
        "\xff",
    ],
    ids=["number", "list", "no study", "no mapping", "deep", "empty", "no text"],
)
def test_odd_identities_are_no_run(odd: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (run / "run.json").write_bytes(odd.encode("latin-1"))
    for command in ("resume", "report", "mlflow-sync"):
        assert "not a run directory" in refused(capfd, command, str(run))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


ODD = ["a list", "no YAML", "an object", "a bomb", "deep", "empty"]


@pytest.mark.parametrize(
    "odd", ["- a", "a: [", "a: !!python/object/apply:os.getpid []", BOMB, "[" * 20_000, ""], ids=ODD
)
def test_odd_configurations_are_said(odd: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (run / "config.yaml").write_text(odd)
    for command in ("resume", "report", "mlflow-sync"):
        assert "config.yaml" in refused(capfd, command, str(run))


def without(run: Path, count: int) -> None:
    lines = (run / "log.jsonl").read_bytes().splitlines(keepends=True)
    (run / "log.jsonl").write_bytes(b"".join(lines[:count] + lines[count + 1 :]))


def test_a_log_with_a_hole_is_said_by_all_that_read_it(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    without(run, 3)
    for command in (["resume", str(run)], ["report", str(run)], ["mlflow-sync", str(run)], ["resume", str(run.parent)]):
        assert "line 4 of" in refused(capfd, *command)


def test_a_torn_line_in_the_middle_is_said(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = (run / "log.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    (run / "log.jsonl").write_bytes(b"".join([*lines[:2], lines[2][:30] + b"\n", *lines[3:]]))
    for command in ("resume", "report", "mlflow-sync"):
        assert "line 3 of" in refused(capfd, command, str(run))
    (run / "log.jsonl").write_bytes(content + b'{"event": "begun", "na')
    assert main(["resume", str(run)]) == 0  # a torn last line is what a crash leaves


def test_a_run_without_a_log_or_of_an_earlier_edition_is_said(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    events = dl.open_run(run).log.events()
    bare = [{k: v for k, v in e.items() if k not in ("line", "before", "hash")} for e in events[1:]]
    (run / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in bare))
    assert "written by an edition before this one" in refused(capfd, "resume", str(run))
    (run / "log.jsonl").write_bytes(chained(events[1:]))
    assert "written by an edition before this one" in refused(capfd, "resume", str(run))
    (run / "log.jsonl").unlink()
    assert "has no log" in refused(capfd, "resume", str(run))


@pytest.mark.parametrize("pattern", ["stages/eigenpairs*", "weights/*", "tables/training.parquet"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_changed_files_of_the_run_are_refused(
    pattern: str, how: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = min(run.glob(pattern))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()
    if how == "changed":
        file.write_bytes(content)
    assert f"{file} is missing or was changed" in refused(capfd, "resume", str(run))


def test_changed_data_are_refused(run: Path, whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (data,) = whole.parent.glob("data/*.arrow")
    content = data.read_bytes()
    middle = len(content) // 2
    try:
        data.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        said = refused(capfd, "resume", str(run))  # of a block's frame, or of what is in it
        assert "were changed; start the study again" in said or "is not a block store that can be read" in said
        data.unlink()
        assert data.name in refused(capfd, "resume", str(run))
    finally:
        data.write_bytes(content)


def test_changed_tables_and_pages_are_written_anew(run: Path, whole: Path) -> None:
    """Nothing is read back from them."""
    for file in (run / "tables").iterdir():
        if file.stem != "training":
            file.write_bytes(b"not a table")
    (run / "result.json").write_text("{}")
    assert main(["resume", str(run)]) == 0
    for file in sorted((whole / "tables").glob("*.parquet")):
        assert dl.open_run(run).table(file.stem) == dl.open_run(whole).table(file.stem)


def test_initial_weights_must_be_the_same_until_the_run_has_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "given.safetensors"
    words = [word for key in (*SMALL, "train.steps=0") for word in ("--set", key)]
    assert main(["spectrum", *words, "--workers", "0", "--out", str(tmp_path / "first")]) == 0
    shutil.copy(next(tmp_path.glob("first/*/weights/*")), weights)
    given = [*words, "--set", f"model.weights={weights}"]
    assert main(["spectrum", *given, "--workers", "0", "--out", str(tmp_path / "second")]) == 0
    (run,) = tmp_path.glob("second/spectrum-*")
    lines = (run / "log.jsonl").read_bytes().splitlines(keepends=True)
    (run / "log.jsonl").write_bytes(b"".join(lines[:2]))
    content = bytearray(weights.read_bytes())
    content[-4:] = np.float32(0.5).tobytes()
    weights.write_bytes(content)
    capfd.readouterr()
    assert "the files of model.weights were changed after the run began" in refused(capfd, "resume", str(run))
    weights.unlink()
    assert f"{weights}, which the run was given, cannot be read" in refused(capfd, "resume", str(run))
    (run / "log.jsonl").write_bytes(b"".join(lines[:-1]))
    assert main(["resume", str(run)]) == 0
