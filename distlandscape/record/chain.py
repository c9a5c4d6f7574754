"""The chain of a log's lines: each holds its number, the hash of the line before it, and its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distlandscape.errors import InputError

Events = list[dict[str, Any]]
_OWN, _END = b', "hash": "', b'"}\n'  # around a line's own hash, at its end
REMEDY = "put back the log as the run wrote it, or start the study again"


class Tail(NamedTuple):
    """Where a log ends: number and hash of its last whole line, bytes up to there, and whether lines are chained.

    Editions before this one wrote lines without a chain, which can be read and not gone on with.
    """

    lines: int
    hash: str
    size: int
    chained: bool


EMPTY = Tail(0, "", 0, True)


def linked(fields: dict[str, Any], tail: Tail) -> tuple[bytes, Tail]:
    """The line of these fields behind ``tail``, and where the log ends with it; its last key is its own hash."""
    told = json.dumps({**fields, "line": tail.lines + 1, "before": tail.hash}, allow_nan=False)[:-1].encode()
    own = hashlib.sha256(told).hexdigest()
    line = told + _OWN + own.encode() + _END
    return line, Tail(tail.lines + 1, own, tail.size + len(line), tail.chained)


def whole_lines(content: bytes) -> list[bytes]:
    """Lines with their ends; a torn last one is left out."""
    return [line + b"\n" for line in content.split(b"\n")[:-1]]


def follow(lines: Sequence[bytes], tail: Tail, path: Path) -> tuple[Events, Tail]:
    """The events of the lines that stand behind ``tail``, and where the log ends with them.

    Raises:
        InputError: a line is no event, or not the one that follows the line before it.
    """
    events: Events = []
    for line in lines:
        number = tail.lines + 1
        event = _event(line, number, path)
        chained = "before" in event if number == 1 else tail.chained
        if chained:
            _require_next(event, line, tail, path)
        events.append(event)
        tail = Tail(number, str(event.get("hash")), tail.size + len(line), chained)
    return events, tail


def _event(line: bytes, number: int, path: Path) -> dict[str, Any]:
    try:
        event = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InputError(f"line {number} of {path} is torn or damaged; {REMEDY}") from None
    if not _is_event(event):
        raise InputError(f"line {number} of {path} is no event of a run; {REMEDY}")
    known: dict[str, Any] = event
    return known


def _is_event(event: Any) -> bool:
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or not _is_number(event.get("time")):
        return False
    return all(name in event and fits(event[name]) for name, fits in FIELDS.get(event["event"], {}).items())


def _require_next(event: dict[str, Any], line: bytes, tail: Tail, path: Path) -> None:
    number = tail.lines + 1
    own = str(event.get("hash"))
    told = line.removesuffix(_OWN + own.encode() + _END)
    if told == line or hashlib.sha256(told).hexdigest() != own:
        raise InputError(f"line {number} of {path} was changed after the run wrote it; {REMEDY}")
    if event.get("line") != number:
        raise InputError(
            f"line {number} of {path} says that it is line {event.get('line')!r}: lines are missing, doubled or"
            f" swapped there; {REMEDY}"
        )
    if event.get("before") != tail.hash:
        raise InputError(f"line {number} of {path} does not follow the line that stands before it; {REMEDY}")


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _is_name(value: Any) -> bool:
    """Whether it names a file in a folder, and leads nowhere else."""
    return isinstance(value, str) and Path(value).name == value and value != ".."


def _are_names(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_name, value))


ENDS = ("done", "unconverged", "failed", "interrupted")
# What the readers of events rely on; of a log that was written as a whole by someone else nothing more is known.
FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "created": {"run_id": _is(str), "config": _is(str), "identity": _is(str)},
    "adopted": {"run_id": _is(str)},
    "ended": {"status": ENDS.__contains__},
    "begun": {"name": _is(str)},
    "fault": {"text": _is(str)},
    "stage": {"name": _is(str), "sha256": _is(str), "values": _is(dict)},
    "checkpoint": {"step": _is(int), "sha256": _is(str)},
    "training": {"step": _is(int), "file": _is_name, "sha256": _is(str), "curve": _is(list)},
    "trial": {"key": _is(str), "outcome": _is(dict)},
    "steps": {
        "stage": _is(str),
        "name": _is(str),
        "restarts": _is(int),
        "alphas": _is(list),
        "betas": _is(list),
        "couplings": _is(list),
        "vectors": _is(int),
        "files": _are_names,
    },
}
