"""The keys of a configuration in the help of a command."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from distlandscape.config import keys_of

SHARED = ("data", "model", "objective", "train", "runtime", "tracking")  # what every study may be told


class HelpWithKeys(argparse.HelpFormatter):
    """Leaves a text of several lines, such as a list of keys, as it is, and wraps each line of it."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text:
            return super()._fill_text(text, width, indent)
        return "\n".join(
            textwrap.fill(line, width, subsequent_indent="      " if line.startswith(" ") else "")
            for line in text.splitlines()
        )


def told_keys(sections: Sequence[str], rest: bool = True) -> str:
    """Every key of the sections: default, and what it is; with ``rest``, where those of the others are told."""
    lines = ["keys for --config and --set (with their defaults):"]
    for section in sections:
        lines += [f"  {key.name} ({key.default}): {key.description}" for key in keys_of(section)]
    missing = [section for section in SHARED if section not in sections]
    if missing and rest:
        lines += ["", f"Keys of {', '.join(missing[:-1])} and {missing[-1]}: distlandscape train --help."]
    return "\n".join(lines)
