"""The command `intctl`, also as `python -m intctl`: it closes the process to others, then runs the command line."""

import os
import sys

TYPE_CHECKING = False  # not from typing: the current folder is still searched for modules
if TYPE_CHECKING:
    from typing import NoReturn

_PR_SET_DUMPABLE = 4


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
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        # A fifth of the time of `import ctypes`, which every --help would pay for.
        from _ctypes import call_function, dlopen, dlsym

        call_function(dlsym(dlopen(None, 0), "prctl"), (_PR_SET_DUMPABLE, 0, 0, 0, 0))  # type: ignore[arg-type]
    except (ImportError, OSError):  # another Python, or another system than Linux
        import ctypes

        if prctl := getattr(ctypes.CDLL(None), "prctl", None):
            prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 -- pathlib is not imported yet
    except OSError:  # it was deleted
        return ""


if __name__ == "__main__":
    main()
