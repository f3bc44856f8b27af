"""The error tree. Each branch has its exit code, and each code has one meaning.

IntctlError              70  a bug of ours, when raised as itself
├── UsageError            2  wrong usage
│   └── ManifestError     2  a wrong file: every problem at once, each with its position
├── NotFoundError         3  no such integration or organisation (or somebody else's)
├── ConflictError         4  the name is taken, or the thing changed meanwhile
├── StoreError            5  the database cannot be reached, or is not ready
│   └── RefusedError      5  it does not take a value, such as a NUL in a text
├── KeyringError          6  no key, a wrong key, or a sealed value that does not open
│   └── SealError         6  one sealed value that does not open; the others are not affected
├── BusyError             7  somebody else is at it, and we waited long enough
└── OutputError          74  the answer could not be written

Messages are one line, in our own words: what happened, to what, what to do next.
They never hold a value from a config, and never the text of a library's exception.
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
    EXIT_NOT_HEALTHY: "a check that was asked for is not healthy, there are alerts (--exit-code), "
    "or no pass finished in time (agent status)",
    EXIT_USAGE: "wrong usage, or a wrong file",
    EXIT_NOT_FOUND: "not found",
    EXIT_CONFLICT: "conflict: the name is taken, or it changed meanwhile",
    EXIT_DATABASE: "database: not reachable, or not ready",
    EXIT_KEY: "key: missing, wrong, or a sealed value that does not open",
    EXIT_BUSY: "busy: somebody else is at it",
    EXIT_BUG: "a bug of intctl",
    EXIT_OUTPUT: "output could not be written",
    EXIT_INTERRUPTED: "interrupted",
}


class IntctlError(Exception):
    """The root. `exit_code` is what the process ends with when nobody handles it."""

    exit_code = EXIT_BUG


class UsageError(IntctlError):
    """The command line asks for something that makes no sense."""

    exit_code = EXIT_USAGE


class Problem(NamedTuple):
    """One thing that is wrong in a file. Line and column count from 1; 0 means the file as a whole.

    `fields` are the names of the fields that can resolve it. The message does not decide that: it may mention
    other fields too.
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
    """A file that cannot be taken. `problems` holds all of them, in the file's order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NotFoundError(IntctlError):
    """Not there, or not yours: the two read the same on purpose."""

    exit_code = EXIT_NOT_FOUND


class ConflictError(IntctlError):
    """Somebody else has the name, or changed the row since we read it."""

    exit_code = EXIT_CONFLICT


class StoreError(IntctlError):
    """The database: not there, not ready, not answering. `transient` when trying again may help."""

    exit_code = EXIT_DATABASE

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class RefusedError(StoreError):
    """The database does not take a value: the same statement with other values may be taken."""


class KeyringError(IntctlError):
    """No keyring, or one that cannot be used."""

    exit_code = EXIT_KEY


class SealError(KeyringError):
    """One sealed value did not open. `code` is its cause in `codes.py`, `detail` the particulars."""

    def __init__(self, message: str, code: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail


class BusyError(IntctlError):
    """Another process holds the lease or the lock, and did not finish in time."""

    exit_code = EXIT_BUSY


class OutputError(IntctlError):
    """Standard output did not take what we wrote."""

    exit_code = EXIT_OUTPUT
