"""How results show themselves: aligned text in a console, a table in a notebook; and numbers of things in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

SHOWN = 12  # rows of a long table; of the others only the last is shown


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things, with the noun in its number: ``1 worker``, ``2 workers``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


@dataclass(frozen=True)
class Shown:
    """What is shown of a result.

    Attributes:
        title: one line.
        head: names of the columns.
        rows: cells, the first of a row its name.
        notes: lines below, as (name, text).
    """

    title: str
    head: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    notes: Sequence[tuple[str, str]] = ()


class Displayed(ABC):
    """A result that says in ``_shown`` what it shows; dataclasses that derive from it take ``repr=False``."""

    @abstractmethod
    def _shown(self) -> Shown:
        """Title, table and notes."""

    def __repr__(self) -> str:
        shown = self._shown()
        table = [shown.head, *shown.rows] if shown.rows else []
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        name = max((len(name) for name, _ in shown.notes), default=0)
        return "\n".join(
            [
                shown.title,
                *("  " + "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in table),
                *(f"  {key:<{name}}  {text}" for key, text in shown.notes),
            ]
        )

    def _repr_html_(self) -> str:
        shown = self._shown()
        head = f"<tr>{''.join(f'<th>{escape(c)}</th>' for c in shown.head)}</tr>" if shown.rows else ""
        rows = [f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in row)}</tr>" for row in shown.rows]
        width = max(len(shown.head) - 1, 1)
        notes = [
            f'<tr><th style="text-align: left">{escape(name)}</th>'
            f'<td colspan="{width}" style="text-align: left">{escape(text)}</td></tr>'
            for name, text in shown.notes
        ]
        body = "\n".join([head, *rows, *notes])
        return f'<table><caption style="text-align: left">{escape(shown.title)}</caption>\n{body}\n</table>'


def shortened(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """At most SHOWN rows, the last one among them; "…" stands for those between."""
    if len(rows) <= SHOWN:
        return list(rows)
    return [*rows[: SHOWN - 2], ("…", *("" for _ in rows[0][1:])), rows[-1]]
