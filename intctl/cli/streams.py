"""Standard input, output and error of the process, as commands may rely on them.

A reader that closes its end of a pipe wants no more; it does not change what a command found. So text for a closed pipe
is dropped here, where it leaves, and each command ends with its own exit code. click would exit with 1, which means
"not healthy".
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class Outlet(io.FileIO):
    """Standard output or error.

    `is_closed`: the other end of the pipe is closed. `never_fails`: whatever cannot be written is dropped, and the next
    write is tried again, because a collector may be back. Otherwise a write raises OSError unless the pipe is closed.
    """

    def __init__(self, number: int, *, never_fails: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self.never_fails = never_fails
        self.is_closed = False

    def write(self, data: object) -> int:
        """Write to the file descriptor, and return how many bytes are done with."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except (BrokenPipeError, ConnectionResetError):
            self.is_closed = True
        except OSError:
            if not self.never_fails:
                raise
        return len(data)  # type: ignore[arg-type]


def prepare() -> None:
    """Set up the streams of this process. A stream that was closed before the start is opened.

    An ASCII locale prints "?" instead of crashing.
    """
    if sys.stdin is None:
        _open(0, os.O_RDONLY)
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    # What is written to a standard output that was closed is lost. It is read-only, so that the command fails.
    sys.stdout = _outlet(sys.stdout, 1, os.O_RDONLY, never_fails=False)
    sys.stderr = _outlet(sys.stderr, 2, os.O_WRONLY, never_fails=True)


def outlet(stream: TextIO) -> Outlet | None:
    """Return the outlet under a stream; None if the stream is not one of the process."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, Outlet) else None


def _outlet(stream: TextIO | None, number: int, mode: int, *, never_fails: bool) -> TextIO:
    if stream is None:
        _open(number, mode)
        encoding, is_by_line = "utf-8", number == 2
    else:
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)
        if not isinstance(raw, io.FileIO) or not isinstance(stream, io.TextIOWrapper):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
            return stream
        number, encoding, is_by_line = raw.fileno(), stream.encoding, stream.line_buffering or stream.write_through
    made = io.BufferedWriter(Outlet(number, never_fails=never_fails))
    return io.TextIOWrapper(made, encoding=encoding, errors="replace", line_buffering=is_by_line)


def _open(number: int, mode: int) -> None:
    found = os.open(os.devnull, mode)
    if found != number:
        os.dup2(found, number)
        os.close(found)
