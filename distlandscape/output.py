"""What people read on a terminal: without secrets, without control characters, and short enough to be read."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from typing import Any, TextIO

from distlandscape.redaction import redact

LONGEST = 1000  # characters of a sentence
LONGEST_WORD = 300  # of a word in it, such as a path
READ = 20_000  # characters of a message that are looked at: nobody reads the middle of a longer one


def visible(text: str, keep: str = "\n\t") -> str:
    r"""Text whose control characters, bidi overrides and other invisible ones are written as \x1b or \u202e."""
    if text.isprintable():
        return text
    return "".join(c if c in keep or c.isprintable() or unicodedata.category(c) == "Zs" else _escaped(c) for c in text)


def line(text: str) -> str:
    """One line: secrets hidden, control characters and line ends written out, the middle of a long text left out."""
    if len(text) > READ:
        text = _shortened(text, READ)
    text = visible(redact(text), keep="")
    if len(text) <= LONGEST:
        return text
    words = (_shortened(word, LONGEST_WORD) for word in text.split(" "))
    return _shortened(" ".join(words), LONGEST)


def sentence(text: str) -> str:
    """As ``line``, with each run of white space as one space: what a library raised may have many lines."""
    if len(text) > READ:
        text = _shortened(text, READ)
    return line(" ".join(text.split()))


def say(text: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{line(text)}\n")
    sys.stderr.flush()


class CleanStream:
    """A text stream that hides secrets and control characters of whatever is printed to it.

    It says it is no terminal, so that libraries color nothing. A progress bar's carriage returns become line ends.

    Attributes:
        whole: the stream below, for what is clean already, or meant to be read as it is.
    """

    def __init__(self, whole: TextIO) -> None:
        self.whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def write(self, text: str) -> int:
        """Write the clean text; returns the length of the text given."""
        self.whole.write(visible(redact(text.replace("\r\n", "\n").replace("\r", "\n"))))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of the texts."""
        for text in lines:
            self.write(text)

    def isatty(self) -> bool:
        """No."""
        return False


def below(stream: Any) -> Any:
    """The stream as it was before it was made clean."""
    return stream.whole if isinstance(stream, CleanStream) else stream


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _shortened(text: str, longest: int) -> str:
    """The beginning and, as a remedy stands there, the end."""
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 3]} … {text[-end:]}"
