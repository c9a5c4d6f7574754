"""The log of a run: a chain of lines, each whole on the disk or not there, and what was done to it is seen."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from distlandscape.errors import InputError, WriteFailed
from distlandscape.record.log import EventLog
from tests.helpers import chained

LINES = 6


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    log = EventLog(tmp_path / "log.jsonl")
    for number in range(LINES):
        log.append("fault", text=str(number))
    return log


def texts(log: EventLog) -> list[str]:
    return [event["text"] for event in EventLog(log.path).events()]


def test_every_line_holds_its_number_its_hash_and_that_of_the_line_before(log: EventLog) -> None:
    events = log.events()
    assert [event["line"] for event in events] == list(range(1, LINES + 1))
    assert log.path.read_bytes() == chained(events)


def test_a_second_writer_goes_on_where_the_first_one_stopped(log: EventLog) -> None:
    EventLog(log.path).append("fault", text="by another")
    log.append("fault", text="by the first again")
    assert texts(log)[LINES:] == ["by another", "by the first again"]


def test_an_append_reads_nothing_of_what_is_there(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(log: EventLog, tail: object) -> None:
        raise AssertionError("the log was read")

    monkeypatch.setattr(EventLog, "_read", read)
    log.append("fault", text="more")


def swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def replaced(line: bytes) -> bytes:
    """The third line of another log, whole in itself."""
    return chained([json.loads(line)] * 3).splitlines(keepends=True)[2]


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "line 4 of LOG says that it is line 3"),
        (swapped, "line 3 of LOG says that it is line 4"),
        (lambda lines: lines[:2] + lines[3:], "line 3 of LOG says that it is line 4"),
        (lambda lines: lines[1:], "line 1 of LOG says that it is line 2"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"2"', b'"7"'), *lines[3:]], "line 3 of LOG was changed"),
        (lambda lines: [lines[0].replace(b'"0"', b'"7"'), *lines[1:]], "line 1 of LOG was changed"),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"5"', b'"7"')], "line 6 of LOG was changed"),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"text"', b'"hash": "", "text"')], "line 6 of LOG was changed"),
        (lambda lines: [*lines[:2], replaced(lines[2]), *lines[3:]], "line 3 of LOG does not follow the line"),
        (lambda lines: [*lines[:2], lines[2][:-9] + b"\n", *lines[3:]], "line 3 of LOG is torn or damaged"),
        (lambda lines: [*lines[:2], lines[2][:-9], *lines[3:]], "line 3 of LOG is torn or damaged"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], "line 3 of LOG is torn or damaged"),
        (lambda lines: [*lines[:2], b"[1]\n", *lines[2:]], "line 3 of LOG is no event of a run"),
        (lambda lines: [*lines[:2], b'{"event": "fault", "time": NaN}\n', *lines[2:]], "line 3 of LOG is torn or"),
        (lambda lines: [*lines[:2], b'{"event": "fault", "time": 1.0}\n', *lines[2:]], "line 3 of LOG is no event"),
        (lambda lines: [*lines[:2], b"[" * 100_000 + b"\n", *lines[2:]], "line 3 of LOG is torn or damaged"),
        (lambda lines: [*lines[:2], b"\xff\xfe\n", *lines[2:]], "line 3 of LOG is torn or damaged"),
    ],
)
def test_what_was_done_to_it_is_named_by_line(
    log: EventLog, done: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    changed = b"".join(done(log.path.read_bytes().splitlines(keepends=True)))
    log.path.write_bytes(changed)
    for attempt in (log.events, log.repair, lambda: log.append("fault", text="more")):
        with pytest.raises(InputError) as raised:
            attempt()
        assert said.replace("LOG", str(log.path)) in str(raised.value)
    assert log.path.read_bytes() == changed


def test_a_torn_last_line_is_cut_at_every_place(log: EventLog) -> None:
    whole = log.path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for length in range(last + 1, len(whole)):
        log.path.write_bytes(whole[:length])
        assert len(texts(log)) == LINES - 1
        if length % 2:
            assert EventLog(log.path).repair()
        EventLog(log.path).append("fault", text="after")
        assert texts(log) == ["0", "1", "2", "3", "4", "after"]


def test_a_log_of_an_earlier_edition_can_be_read_and_not_gone_on_with(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log.jsonl")
    log.path.write_text('{"event": "started", "time": 1.0}\n{"event": "fault", "time": 2.0, "text": "x"}\n')
    assert len(log.events()) == 2
    with pytest.raises(InputError, match="an edition before this one"):
        log.append("started")
    log.path.write_text('{"event": "started", "time": 1.0}\n{"event": "fau\n')
    with pytest.raises(InputError, match=r"line 2 of .* is torn"):
        log.events()


def test_it_is_not_read_or_written_through_a_link_or_a_pipe(log: EventLog, tmp_path: Path) -> None:
    secret = log.path.rename(tmp_path / "elsewhere")
    before = secret.read_bytes()
    log.path.symlink_to(secret)
    for attempt in (log.events, log.repair, lambda: log.append("fault", text="x")):
        with pytest.raises(InputError, match="is a link, a pipe or a device"):
            attempt()
    assert secret.read_bytes() == before
    log.path.unlink()
    os.mkfifo(log.path)
    for attempt in (log.events, log.repair, lambda: log.append("fault", text="x")):
        with pytest.raises(InputError, match="is a link, a pipe or a device"):
            attempt()


class Disk:
    """Takes so many bytes of what the package writes from now on, and no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room, self._write = room, os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, content: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = self._write(descriptor, content[: self.room])
        self.room -= done
        return done


@pytest.mark.parametrize("room", [0, 1, 20, 100])
def test_a_full_disk_leaves_the_log_as_it_was(log: EventLog, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    before = log.path.read_bytes()
    disk = Disk(monkeypatch, room)
    for _ in range(2):
        with pytest.raises(WriteFailed, match=r"log.jsonl could not be written .*make room .*resume the run"):
            log.append("fault", text="x" * 200)
        assert log.path.read_bytes() == before
    disk.room = 10_000
    log.append("fault", text="after")
    assert texts(log)[LINES:] == ["after"]


def test_what_could_not_be_cut_at_once_is_cut_before_the_next_line(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = log.path.read_bytes()
    with monkeypatch.context() as patch:
        Disk(patch, 30)
        patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "input/output error")))
        with pytest.raises(WriteFailed):
            log.append("fault", text="x" * 200)
        assert len(log.path.read_bytes()) == len(before) + 30
    log.append("fault", text="after")
    assert texts(log)[LINES:] == ["after"]


def test_a_line_that_the_disk_does_not_keep_is_taken_back(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before = log.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "input/output error")))
        with pytest.raises(WriteFailed, match="input/output error"):
            log.append("fault", text="x")
    assert log.path.read_bytes() == before


LIMITED = """
import resource, sys
from pathlib import Path
from distlandscape.errors import WriteFailed
from distlandscape.files import write_text
from distlandscape.record.log import EventLog

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
log, failed = EventLog(folder / "log.jsonl"), 0
for number in range(200):
    try:
        log.append("fault", text="x" * (number % 37))
    except WriteFailed:
        failed += 1
for number in range(40):
    try:
        write_text(folder / "whole", "x" * 50 * number)
    except WriteFailed:
        failed += 1
print(failed)
"""


@pytest.mark.parametrize("limit", [1, 1000, 1701])
def test_a_real_limit_of_the_system_tears_nothing(tmp_path: Path, limit: int) -> None:
    """Here the system itself writes less than it was asked to."""
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(limit)], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) > 40
    content = (tmp_path / "log.jsonl").read_bytes()
    assert len(content) <= limit
    assert content.count(b"\n") == len([json.loads(line) for line in content.splitlines()])
    assert EventLog(tmp_path / "log.jsonl").events() == [json.loads(line) for line in content.splitlines()]
    assert (tmp_path / "whole").stat().st_size == min(39, limit // 50) * 50
    assert {file.name for file in tmp_path.iterdir()} == {"log.jsonl", "whole"}
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
