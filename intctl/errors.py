"""The error tree. Each branch has its exit code, and each code has one meaning.

IntctlError              70  a bug in intctl, when raised as itself
├── UsageError            2  invalid usage
│   └── ManifestError     2  an invalid file: every problem at once, each with its position
├── NotFoundError         3  no such integration or organisation (or it belongs to another one)
├── ConflictError         4  the name is taken, or another process changed the row
├── StoreError            5  the database cannot be reached, or is not ready
│   └── RefusedError      5  the database rejects a value, such as a NUL in a text
├── KeyringError          6  no key, a wrong key, or a sealed value that cannot be opened
│   └── SealError         6  one sealed value that cannot be opened; the others are not affected
├── BusyError             7  another process holds the lock, and waiting for it timed out
└── OutputError          74  the output could not be written

A message is one line that intctl writes itself: what happened, to what, what to do next.
It never holds a value from a config, and never the text of a library's exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

EXIT_OK = 0
EXIT_NOT_HEALTHY = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_CONFLICT = 4
EXIT_DATABASE = 5
EXIT_KEY = 6
EXIT_BUSY = 7
EXIT_BUG = 70
EXIT_OUTPUT = 74
EXIT_INTERRUPTED = 130

#: The one table of exit codes: `--help`, the README and the tests read it.
EXIT_CODES: dict[int, str] = {
    EXIT_OK: "done",
    EXIT_NOT_HEALTHY: "a requested check is not healthy, there are alerts (--exit-code), "
    "or no pass finished in time (agent status)",
    EXIT_USAGE: "invalid usage, or an invalid file",
    EXIT_NOT_FOUND: "not found",
    EXIT_CONFLICT: "conflict: the name is taken, or another process changed the integration",
    EXIT_DATABASE: "database: not reachable, or not ready",
    EXIT_KEY: "key: missing or wrong, or a sealed value cannot be opened",
    EXIT_BUSY: "busy: another process holds the lock",
    EXIT_BUG: "a bug in intctl",
    EXIT_OUTPUT: "the output could not be written",
    EXIT_INTERRUPTED: "interrupted",
}


class IntctlError(Exception):
    """The root of the tree. `exit_code` is the exit code of the process when nothing handles the error."""

    exit_code = EXIT_BUG


class UsageError(IntctlError):
    """An invalid command line."""

    exit_code = EXIT_USAGE


class Problem(NamedTuple):
    """One error in a file. Line and column count from 1; 0 means the file as a whole.

    `fields` are the names of the fields that can resolve it. The message may mention other fields too.
    """

    file: str
    line: int
    column: int
    message: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.message}"


class ManifestError(UsageError):
    """An invalid file. `problems` holds every problem, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NotFoundError(IntctlError):
    """A missing row, or another organisation's: the message is the same, so that it reveals nothing."""

    exit_code = EXIT_NOT_FOUND


class ConflictError(IntctlError):
    """The name is taken, or another process changed the row after it was read."""

    exit_code = EXIT_CONFLICT


class StoreError(IntctlError):
    """The database is missing, not ready or not answering. `transient`: a retry may help."""

    exit_code = EXIT_DATABASE

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class RefusedError(StoreError):
    """The database rejects a value; it may accept the same statement with other values."""


class KeyringError(IntctlError):
    """A keyring that is missing or unusable."""

    exit_code = EXIT_KEY


class SealError(KeyringError):
    """A sealed value that cannot be opened. `code` is its cause in `codes.py`, `detail` the particulars."""

    def __init__(self, message: str, code: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail


class BusyError(IntctlError):
    """Another process holds the lease or the lock and did not finish in time."""

    exit_code = EXIT_BUSY


class OutputError(IntctlError):
    """A write to standard output that failed."""

    exit_code = EXIT_OUTPUT


def frames(error: BaseException) -> list[str]:
    """The stack frames of an error, innermost last."""
    import traceback

    return [f"{one.filename}:{one.lineno} in {one.name}" for one in traceback.extract_tb(error.__traceback__)]
