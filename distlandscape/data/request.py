"""What a source is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distlandscape.data.rows import Rows, Samples
from distlandscape.errors import InputError


class NoTestSplit(InputError):
    """The source has samples for training only."""


@dataclass(frozen=True)
class Request:
    """Where to look and for what.

    Attributes:
        source: name of the source, for messages.
        path: file, folder or import path; None where the source has a place of its own.
        split: "train" or "test".
        target: column of the targets, in tables.
        options: arguments of a dataset's factory.
        scratch: folder for unpacked samples; it lives as long as the source is read.
        progress: told in a few words how far it is.
    """

    source: str
    path: str | None
    split: str
    target: str
    options: dict[str, Any]
    scratch: Path
    progress: Callable[[str], None]

    def existing(self, what: str) -> Path:
        """The path, which has to exist.

        Raises:
            InputError: no path given, or nothing there.
        """
        if self.path is None:
            raise InputError(f"data.source={self.source} needs data.path, {what}")
        path = Path(self.path)
        try:
            there = path.exists()
        except (OSError, ValueError):  # a null character, a file where a folder should be
            there = False
        if not there:
            raise InputError(f"data.path {self.path!r} does not exist; give {what}")
        return path

    def no_test_split(self, remedy: str) -> NoTestSplit:
        """The error of a source without test samples."""
        return NoTestSplit(f"data.source={self.source} has no test split here; {remedy}, or set data.split=train")


@dataclass(frozen=True)
class Table:
    """Samples, their targets (N,) or (N, C), and what they are in words."""

    x: Rows
    y: Samples
    description: str
