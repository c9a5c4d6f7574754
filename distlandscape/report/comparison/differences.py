"""What differs between runs: configuration, data and versions, and short names made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distlandscape.report.page import leaves
from distlandscape.report.tables import RunView

# Sections that tell runs apart best come first; who follows a run tells nothing of it.
SECTIONS = ("model", "data", "objective", "train")
LAST = ("runtime",)
LEFT_OUT = ("tracking",)
ABSENT = "not set"
LONGEST = 28  # characters of a value in a name

DIGESTS, DIGITS = ("data (sha256)", "weights (sha256)", "commit"), 12  # no two digests agree in so many digits

# Of the record of what a run was computed with: its name there, and in words.
MADE_WITH = {
    "digests.data": "data (sha256)",
    "weights_sha256": "weights (sha256)",
    "blocks": "data blocks",
    "git_commit": "commit",
    "versions": "",
    "device": "device",
    "instruction_set": "instruction set",
    "threads": "threads",
    "micro_batch": "micro-batch",
    "product": "product",
    "channels_last": "channels last",
}


@dataclass(frozen=True)
class Difference:
    """A key whose values (one a run, as text) are not all the same."""

    key: str
    values: tuple[str, ...]


def configuration(views: Sequence[RunView]) -> list[Difference]:
    """Keys of the configuration that differ; the study first, where it does."""
    flat = [dict(leaves(view.config)) for view in views]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if key.split(".")[0] not in LEFT_OUT]
    found = [Difference(key, tuple(_text(one.get(key)) for one in flat)) for key in sorted(keys, key=_order)]
    return _differing([Difference("study", tuple(view.study for view in views)), *found])


def made_with(views: Sequence[RunView]) -> list[Difference]:
    """Data, weights, versions and machine, where they differ and all finished runs recorded them."""
    flat = [
        dict(leaves({**view.identity, **(view.result.get("provenance") or {}), **_weights(view)})) for view in views
    ]
    found = []
    for name, words in MADE_WITH.items():
        keys = dict.fromkeys(key for one in flat for key in one if key == name or key.startswith(f"{name}."))
        for key in keys:
            values = [_text(one.get(key), "not recorded") for one in flat]
            short = tuple(value[:DIGITS] for value in values) if words in DIGESTS else tuple(values)
            found.append(Difference(words or key.removeprefix("versions."), short))
    return _differing(found)


def same_data(views: Sequence[RunView]) -> bool | None:
    """Whether all runs measured the same data; None where a run does not say."""
    digests = [(view.identity.get("digests") or {}).get("data") for view in views]
    return None if None in digests else len(set(digests)) == 1


def labels(views: Sequence[RunView]) -> list[str]:
    """A short name for each run, all different, made of as few differing keys as tell the runs apart.

    Runs that do not differ, or do so only at length, are numbered in the order they were named.
    """
    open_to_use = [*configuration(views), *(d for d in made_with(views) if "sha256" not in d.key)]
    shown = [Difference(d.key, tuple(_short(value) for value in d.values)) for d in open_to_use]
    chosen: list[Difference] = []
    told: list[tuple[str, ...]] = [()] * len(views)
    while len(set(told)) < len(views) and shown:
        best = max(shown, key=lambda d: len(set(zip(told, d.values, strict=True))))  # the first of equals
        longer = [(*before, value) for before, value in zip(told, best.values, strict=True)]
        if len(set(longer)) == len(set(told)):
            break
        chosen.append(best)
        told = longer
    lasts = [d.key.rsplit(".", 1)[-1] for d in chosen]
    names = [d.key if lasts.count(last) > 1 else last for d, last in zip(chosen, lasts, strict=True)]
    texts = [", ".join(_named(*pair) for pair in zip(names, values, strict=True)) for values in told]
    if len(set(texts)) == len(texts):
        return texts
    return [f"{text}, run {index}" if text else f"run {index}" for index, text in enumerate(texts, start=1)]


def _named(name: str, value: str) -> str:
    return value if name == "study" else f"{name.replace('_', ' ')} {value}"


def _short(value: str) -> str:
    """A value for a name: of a path its end, of a list no brackets' worth more than fits."""
    short = "/".join(value.split("/")[-2:]) if value.count("/") > 1 else value
    return short if len(short) <= LONGEST else f"…{short[1 - LONGEST :]}"


def _order(key: str) -> tuple[int, str]:
    section = key.split(".")[0]
    if section in SECTIONS:
        return SECTIONS.index(section), ""
    return (len(SECTIONS) + (section in LAST), "")


def _differing(found: list[Difference]) -> list[Difference]:
    return [difference for difference in found if len(set(difference.values)) > 1]


def _weights(view: RunView) -> dict[str, Any]:
    return {"weights_sha256": view.result["weights_sha256"]} if view.result.get("weights_sha256") else {}


def _text(value: Any, absent: str = ABSENT) -> str:
    if value is None:
        return absent
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
