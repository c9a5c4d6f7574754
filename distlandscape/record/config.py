"""The configuration of a run as it is stored, and what of it and of ``run.json`` must stay as it was.

A digest of both stands in the first line of the log, so that the chain of its lines covers them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from distlandscape.errors import InputError
from distlandscape.files import read_plain
from distlandscape.plain_yaml import PlainLoader

# Where a run computes and who follows it may change when it is resumed: no number depends on it.
MAY_CHANGE = {"runtime": ("workers", "transport", "cpus_per_worker", "gpus_per_worker", "memory")}
FOLLOWING = "tracking"


def config_digest(config: dict[str, Any]) -> str:
    """sha256 of a resolved configuration without what may change between interruption and resume."""
    kept: dict[str, Any] = {}
    for section, values in config.items():
        if section != FOLLOWING:
            free = MAY_CHANGE.get(section, ())
            kept[section] = {k: v for k, v in values.items() if k not in free} if isinstance(values, dict) else values
    return _digest(kept)


def identity_digest(identity: dict[str, Any]) -> str:
    """sha256 of what ``run.json`` holds without the run's id, which a tracking server may give it later."""
    return _digest({key: value for key, value in identity.items() if key != "run_id"})


def dump_config(config: dict[str, Any]) -> str:
    """The configuration as YAML, keys in their order."""
    return yaml.dump(config, Dumper=_Plain, sort_keys=False)


def load_config(path: Path) -> dict[str, Any]:
    """Read it back.

    Raises:
        InputError: missing, no YAML, no mapping, or with references, which can make a file of a kilobyte endless.
    """
    try:
        config = yaml.load(read_plain(path), Loader=PlainLoader)  # noqa: S506 – a SafeLoader
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read ({reason}); put it back as the run wrote it") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is not the configuration of a run; put it back as the run wrote it")
    return config


def _digest(tree: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


class _Plain(yaml.SafeDumper):
    """Writes what is there twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
