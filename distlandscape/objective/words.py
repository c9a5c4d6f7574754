"""Words of messages that more than one check needs."""

from __future__ import annotations

import textwrap


def brief(error: BaseException) -> str:
    """The error's message on one line."""
    return textwrap.shorten(str(error), 200, placeholder="…") or type(error).__name__
