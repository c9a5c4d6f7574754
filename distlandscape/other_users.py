"""What other users of the machine could do to a folder of this user's."""

from __future__ import annotations

import functools
import grp
import os
import pwd
import stat
from pathlib import Path


def why_replaceable(folder: Path) -> str | None:
    """Why another user could put a folder of their own in the place of what lies in this one; None: nobody could.

    Looks at every folder above it, too. The system's root is trusted, and a group that has the user's name.
    """
    for above in (folder, *folder.parents):
        try:
            found = above.stat()
        except OSError as error:
            return f"{above} cannot be looked at ({error.strerror})"
        others = stat.S_IWOTH if _is_own_group(found.st_gid) else stat.S_IWOTH | stat.S_IWGRP
        if found.st_mode & others and not found.st_mode & stat.S_ISVTX:
            return f"other users can rename what lies in {above}"
        if found.st_uid not in (0, os.geteuid(), _nobody()):
            return f"{above} belongs to another user"
    return None


def _is_own_group(group: int) -> bool:
    try:
        return group == 0 or grp.getgrgid(group).gr_name == pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False


@functools.cache
def _nobody() -> int:
    """Who owns what no user of this namespace owns, the system's root outside of it above all; 0: there is one only."""
    try:
        if Path("/proc/self/uid_map").read_text(encoding="ascii").split() == ["0", "0", str(2**32 - 1)]:
            return 0
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
