"""The folder for what this user's programs keep between calls: services, tokens, keys; its owner's alone."""

from __future__ import annotations

import os
from pathlib import Path

from distlandscape.errors import InputError
from distlandscape.other_users import why_replaceable

FOLDER_VARIABLE = "DISTLANDSCAPE_STATE"


def default_folder() -> Path:
    """``$DISTLANDSCAPE_STATE``, else a folder for state of programs under the user's home."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "distlandscape"


def prepare(folder: Path, *inside: str) -> None:
    """Make the folder, mode 0700, and folders inside of it.

    Raises:
        InputError: it cannot be made, belongs to somebody else, or another user could put one in its place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        foreign = folder.stat().st_uid != os.geteuid()  # root could change the mode of it
        reason = "it belongs to another user" if foreign else why_replaceable(folder.resolve().parent)
        if reason is None:
            folder.chmod(0o700)
            for name in inside:
                (folder / name).mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        reason = str(error.strerror)
    if reason is not None:
        raise InputError(
            f"the state folder {folder} cannot be used ({reason}); set {FOLDER_VARIABLE} to a folder of yours"
        )
