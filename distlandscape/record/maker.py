"""Who made a run: a mark on the code and the tracking server it names, which only this user's programs can make."""

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
from distlandscape.redaction import redact_address
from distlandscape.state_folder import default_folder, prepare

KEY, MARK = "run-key", "signed"


def mark(name: str, options: Mapping[str, Any], server: str | None) -> dict[str, str]:
    """What goes into ``run.json`` for a model that is code from outside, with its options, and for a named server.

    Nothing where there is neither, or where the state folder cannot hold a key: then a resume asks.
    """
    key = _key(make=True) if ":" in name or server else None
    return {} if key is None else {MARK: _signed(key, name, options, server)}


def require_own(run: Run, name: str, options: Mapping[str, Any], server: str | None) -> None:
    """Raise InputError where a run names code or a tracking server and nothing shows that this user chose them."""
    code = [f"load the code {name[:200]!r}"] if ":" in name else []
    sent = [f"send what it measures to {redact_address(str(server))[:200]}"] if _is_elsewhere(server) else []
    if (code or sent) and not _is_own(run, name, options, server):
        raise InputError(
            f"the run {run.path} would {' and '.join(code + sent)}, and nothing shows that you chose it: another user"
            " made it, or you with another home folder, or its config.yaml was changed since; look at that file, and"
            " add --trust if it may"
        )


def require_own_server(run: Run) -> None:
    """Raise InputError where a run names a tracking server and nothing shows that this user chose it."""
    model, server = run.config.get("model") or {}, (run.config.get("tracking") or {}).get("uri")
    if _is_elsewhere(server) and not _is_own(run, str(model.get("name")), model.get("options") or {}, server):
        where = redact_address(str(server))[:200]
        raise InputError(
            f"the run {run.path} names the tracking server {where}, and nothing shows that you chose it; give the"
            " server to send the run to with --uri"
        )


def _is_elsewhere(server: str | None) -> bool:
    """Whether a tracking server is named that the environment does not name too."""
    return bool(server) and redact_address(str(server)) != redact_address(os.environ.get("MLFLOW_TRACKING_URI", ""))


def _is_own(run: Run, name: str, options: Mapping[str, Any], server: str | None) -> bool:
    key, found = _key(make=False), str(run.identity.get(MARK)).encode()
    return key is not None and hmac.compare_digest(found, _signed(key, name, options, server).encode())


def _signed(key: bytes, name: str, options: Mapping[str, Any], server: str | None) -> str:
    named = [name, options, redact_address(server) if server else None]  # as the run's own record has the address
    return hmac.new(key, json.dumps(named, sort_keys=True).encode(), hashlib.sha256).hexdigest()


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
