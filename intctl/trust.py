"""What other users of this machine can do with a file or folder, and the command that prevents it.

A mode that this user cannot change is the platform's: Kubernetes mounts secrets as root with 0644 or, for a group,
0440 (kubernetes.io/docs/concepts/configuration/secret), Docker with 0444 (docs.docker.com/engine/swarm/secrets). No
message advises a command that must fail there.
"""

from __future__ import annotations

import os
import stat

from intctl.text import clean


def is_read_only(place: int | str) -> bool:
    """Whether the file system of an open file or a path is mounted read-only."""
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def is_fixed(found: os.stat_result, place: int | str) -> bool:
    """Whether this user cannot change the mode of a file that it may trust: root's, or on a read-only mount."""
    return (found.st_uid == 0 and os.geteuid() != 0) or is_read_only(place)


def is_readable(found: os.stat_result, place: int | str) -> bool:
    """Whether other users can read a file. The group of this user does not count if the platform chose it."""
    mode = found.st_mode & 0o077
    if not mode & 0o007 and found.st_gid in (os.getegid(), *os.getgroups()):
        return bool(mode) and found.st_uid == os.geteuid() and not is_read_only(place)
    return bool(mode)


def is_foreign(found: os.stat_result, place: int | str) -> bool:
    """Whether a file belongs to another user than this one and root, who can change it."""
    return found.st_uid not in (0, os.geteuid()) and not is_read_only(place)


def is_writable(found: os.stat_result, place: int | str) -> bool:
    """Whether the group of a file or all users can change it."""
    return bool(found.st_mode & 0o022) and not is_read_only(place)


def anchor_problem(path: str, found: os.stat_result) -> str:
    """Why another user can change a file that decides about trust, with the command that prevents it; or ""."""
    if is_foreign(found, path):
        return f"it belongs to another user (uid {found.st_uid}). {run(f'chown {os.geteuid()}', path, found)}"
    if is_writable(found, path):
        return writable(path, found)
    folder = os.path.dirname(path)  # noqa: PTH120 -- a Path costs more, and this runs at each check
    try:
        above = os.stat(folder)  # noqa: PTH116
    except OSError:
        return ""
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX and not is_read_only(folder):
        return f"all users can replace it, because they can change its folder. {run('chmod o-w', folder, above)}"
    return ""


def writable(path: str, found: os.stat_result) -> str:
    """The problem of a file that others can change, with the command that prevents it."""
    who = "all users" if found.st_mode & stat.S_IWOTH else "the users of its group"
    return f"{who} can change it (mode {stat.S_IMODE(found.st_mode):04o}). {run('chmod go-w', path, found)}"


def secret_warning(path: str, found: os.stat_result, place: int | str) -> str:
    """The warning about a file with a secret that other users can read or replace; or ""."""
    if is_foreign(found, place):
        uid = found.st_uid
        return f"{clean(path)} belongs to another user (uid {uid}). {run(f'chown {os.geteuid()}', path, found)}"
    if not is_readable(found, place):
        return ""
    if is_fixed(found, place):
        return EXPOSED
    who = "all users" if found.st_mode & 0o007 else "the users of its group"
    return f"{clean(path)} is readable by {who}. {run('chmod 600', path, found)}"


#: The warning for secrets on the platform's mounts: one text for all of them, so that it is given once.
EXPOSED = (
    "Files with secrets are readable by other users, and this user cannot change that. Mount or install them with "
    "mode 0400, or with 0440 and a group of this user."
)


def folder_problem(path: str) -> str:
    """Why other users can change what is in a folder, with what to do; "" if they cannot, or there is no folder.

    A sticky folder, such as /tmp, is refused itself: others can put files into it. A folder in it is not.
    """
    try:
        link, found = os.lstat(path), os.stat(path)  # noqa: PTH116
    except OSError:
        return ""
    shown, me = clean(path), os.geteuid()
    if link.st_uid not in (0, me):
        found = link
    if is_foreign(found, path):
        hint = f"Run intctl as that user: sudo -u '#{found.st_uid}' intctl" if me == 0 else _OWN_FOLDER
        return f"{shown} belongs to another user (uid {found.st_uid}). {hint}"
    if not is_writable(found, path):
        return ""
    who = "all users" if found.st_mode & stat.S_IWOTH else "the users of its group"
    hint = _OWN_FOLDER
    if found.st_uid == me and not found.st_mode & stat.S_ISVTX:
        hint = run("chmod go-w", path, found)
    return f"{who} can write to {shown} (mode {stat.S_IMODE(found.st_mode):04o}). {hint}"


_OWN_FOLDER = "Set INTCTL_HOME to a folder of your own, which may be a new one below it."


def run(command: str, path: str, found: os.stat_result) -> str:
    """The next step: a command for the path, with sudo if this user is not the owner."""
    import shlex

    may = (0,) if command.startswith("chown") else (0, found.st_uid)
    sudo = "" if os.geteuid() in may else "sudo "
    return f"Run: {sudo}{command} {clean(shlex.quote(path))}"
