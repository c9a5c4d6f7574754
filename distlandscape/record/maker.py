"""Who made a run: a mark on the code it names, which only this user's programs can make."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distlandscape.errors import InputError
from distlandscape.record.run import Run
from distlandscape.state_folder import default_folder, prepare

KEY, MARK = "run-key", "signed"


def mark(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """What goes into ``run.json`` for a model that is code from outside, with its options; nothing for others.

    Nothing, either, where the state folder cannot hold a key: then a resume asks.
    """
    key = _key(make=True) if ":" in name else None
    return {} if key is None else {MARK: _signed(key, name, options)}


def require_own(run: Run, name: str, options: Mapping[str, Any]) -> None:
    """Raise InputError where a run names code and nothing shows that this user chose it."""
    if ":" not in name:
        return
    key = _key(make=False)
    found = str(run.identity.get(MARK)).encode()
    if key is None or not hmac.compare_digest(found, _signed(key, name, options).encode()):
        raise InputError(
            f"the run {run.path} would load the code {name[:200]!r}, and nothing shows that you chose it: another user"
            " made it, or you with another home folder, or its model was changed since; look at its config.yaml, and"
            " add --trust if that code may run here"
        )


def _signed(key: bytes, name: str, options: Mapping[str, Any]) -> str:
    return hmac.new(key, json.dumps([name, options], sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _key(make: bool) -> bytes | None:
    """The key in the state folder; None where there is none that only this user can read."""
    file = default_folder().absolute() / KEY
    with contextlib.suppress(InputError, OSError):
        if make and not file.exists():
            prepare(file.parent)
            _make(file)
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
                return opened.read(64) or None
    return None


def _make(file: Path) -> None:
    """Make the key, whole at once; another process may do so at the same time, and the first wins."""
    making = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(secrets.token_bytes(64))
            opened.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(making, file)
    finally:
        making.unlink()
