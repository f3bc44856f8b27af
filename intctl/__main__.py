"""The command `intctl`, also as `python -m intctl`: it closes the process to others, then runs the command line."""

import os
import sys

TYPE_CHECKING = False  # not from typing: the current folder is still searched for modules
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """Run one command and exit with its code."""
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", _folder()):
        del sys.path[0]  # python -m searches the current folder first: a yaml.py there would be run
    harden()
    from intctl.cli import main as run

    run()


def harden() -> None:
    """Disable core dumps, and deny other processes of this user access to memory and environment.

    It comes before everything else, because the environment itself may hold a key.
    """
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:  # only Linux has it
        prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 -- pathlib is not imported yet
    except OSError:  # it was deleted
        return ""


if __name__ == "__main__":
    main()
