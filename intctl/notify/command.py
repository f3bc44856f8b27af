"""The command notifier: runs the operator's program for each status change."""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from intctl.errors import UsageError
from intctl.keyring import OWN_VARIABLES
from intctl.notify.event import Event, StatusChanged, document
from intctl.notify.notifier import Result, Setting
from intctl.text import clean

#: The deadline of one command, in seconds; then it is killed with every process that it started.
LIMIT_S = 10.0
#: The largest share of a pass's budget for one command.
_SHARE = 0.25
#: How many commands run at the same time.
_AT_ONCE = 4
_TICK_S = 0.02
#: How much of its standard error is kept for the journal, in bytes.
_KEPT_BYTES = 2048

#: INTCTL_ variables that the command may see. All others, and those of libpq, may hold a secret or lead to one.
_KEPT_VARIABLES = frozenset({"INTCTL_HOME", "INTCTL_ORG"})


def build(setting: Setting) -> Command:
    """Build the notifier of an option. Raises UsageError."""
    limit_s = LIMIT_S if setting.budget_s is None else min(LIMIT_S, setting.budget_s * _SHARE)
    return Command(parse(setting.target), environment(setting.environ), limit_s=limit_s)


def parse(text: str) -> tuple[str, ...]:
    """Split the command into words. Raises UsageError."""
    try:
        words = tuple(shlex.split(text))
    except ValueError:
        raise UsageError("--on-change: unclosed quote.") from None
    if not words:
        raise UsageError("--on-change: the command is empty.")
    return words


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The command's environment: the agent's, without every variable that holds a secret or leads to one."""
    return {
        name: value for name, value in environ.items() if name in _KEPT_VARIABLES or not name.startswith(OWN_VARIABLES)
    }


@dataclass(slots=True)
class _Running:
    """A process that has not ended. `stderr_end` is the end of its standard error."""

    event: Event
    process: subprocess.Popen[bytes]
    ends_at: float
    was_killed: bool = False
    stderr_end: bytearray = field(default_factory=bytearray)


class Command:
    """Runs the command once for each status change, with the event's document on its standard input.

    `environ` is the environment of the command.
    """

    at_once = _AT_ONCE

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], *, limit_s: float = LIMIT_S) -> None:
        self._words = words
        self._environ = dict(environ)
        self.limit_s = limit_s

    def obstacle(self) -> str:
        """Always "": a missing command is a failed attempt, so that it ends in a dead letter, which is shown."""
        return ""

    def deliver(self, events: Sequence[Event]) -> Iterator[Result]:
        """Run the command for all of these events at the same time."""
        with _StderrReader() as reader:
            running: list[_Running] = []
            for event in events:
                started = self._start(event)
                if isinstance(started, Result):
                    yield started
                    continue
                running.append(started)
                reader.add(started)
            while running:
                reader.wait()
                for one in [one for one in running if self._has_ended(one)]:
                    running.remove(one)
                    reader.finish(one)
                    yield self._result(one)

    def _start(self, event: Event) -> _Running | Result:
        """Start the process for this event; a result if it could not be started."""
        if not isinstance(event, StatusChanged):
            return Result(event, "skipped")
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own words, no shell
                self._words,
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return Result(event, "not_started", self._reason(error))
        assert process.stdin is not None
        with suppress(OSError):  # a command need not read its input
            os.set_blocking(process.stdin.fileno(), False)
            process.stdin.write(json.dumps(document(event), ensure_ascii=False).encode() + b"\n")
            process.stdin.flush()
        with suppress(OSError):
            process.stdin.close()
        return _Running(event, process, time.monotonic() + self.limit_s)

    def _reason(self, error: OSError) -> str:
        program = clean(self._words[0], 100)
        if isinstance(error, FileNotFoundError):
            return f"command not found: {program}"
        return f"{program} could not be started (error {error.errno})"

    def _has_ended(self, running: _Running) -> bool:
        if running.process.poll() is not None:
            return True
        if time.monotonic() < running.ends_at:
            return False
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()
        running.was_killed = True
        return True

    def _result(self, ended: _Running) -> Result:
        code = ended.process.returncode
        if ended.was_killed:
            return Result(ended.event, "failed", f"timed out: killed after {self.limit_s:g} seconds")
        if code == 0:
            return Result(ended.event, "delivered", exit_code=code)
        end = f"it ended with {code}" if code > 0 else f"it was ended by signal {-code}"
        last_line = clean(ended.stderr_end.decode("utf-8", "replace").strip().rpartition("\n")[2], 200)
        return Result(ended.event, "failed", end, exit_code=code, reply=last_line)


class _StderrReader:
    """Reads the standard error of the processes, so that none blocks on a full pipe, and keeps its end."""

    def __enter__(self) -> _StderrReader:
        self._selector = selectors.DefaultSelector()
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def add(self, running: _Running) -> None:
        os.set_blocking(_stderr(running).fileno(), False)
        self._selector.register(_stderr(running), selectors.EVENT_READ, running)

    def wait(self) -> None:
        """Read the available data, or wait for a moment."""
        if not self._selector.get_map():
            time.sleep(_TICK_S)
        for key, _ in self._selector.select(_TICK_S):
            if not self._read(key.data):
                self._selector.unregister(key.fileobj)

    def finish(self, running: _Running) -> None:
        """Read the rest. Does not wait for a child of the command that keeps the pipe open."""
        self._read(running)
        with suppress(KeyError):
            self._selector.unregister(_stderr(running))
        _stderr(running).close()

    def _read(self, running: _Running) -> bool:
        try:
            data = os.read(_stderr(running).fileno(), 65536)
        except BlockingIOError:
            return True
        running.stderr_end += data
        del running.stderr_end[:-_KEPT_BYTES]
        return bool(data)


def _stderr(running: _Running) -> IO[bytes]:
    assert running.process.stderr is not None
    return running.process.stderr
