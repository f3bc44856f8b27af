"""Somebody is told: a command of the operator's own, run once for each transition."""

from __future__ import annotations

import json
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import IO, Any

from intctl.db.connect import Database
from intctl.db.persist import persist
from intctl.errors import UsageError
from intctl.health.codes import CODES
from intctl.store import history, transitions
from intctl.store.transitions import Transition, WaitingTransition
from intctl.text import clean, rfc3339

#: The most that the command may take, in seconds; then it is killed with all that it started.
LIMIT_S = 10.0
#: How many commands run at the same time, and how long a pass goes on starting them, in seconds.
_AT_ONCE = 4
_STARTING_S = 30.0
#: A lease outlives the command by enough to write down how it ended.
_LEASE_S = LIMIT_S + 30
_TICK_S = 0.02
#: How much of its standard error is kept for the journal, in bytes.
_KEPT_BYTES = 2048

#: Of ours, what the command may know. All else of INTCTL_ and of libpq may hold or name a secret.
_KEPT_VARIABLES = frozenset({"INTCTL_HOME", "INTCTL_ORG"})
_OURS = ("INTCTL_", "PG", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")


def parse(text: str) -> tuple[str, ...]:
    """The command as words. Raises UsageError."""
    try:
        words = tuple(shlex.split(text))
    except ValueError:
        raise UsageError("--on-change: a quote is not closed.") from None
    if not words:
        raise UsageError("--on-change: there is no command.")
    return words


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What the command gets of our environment: nothing that is or leads to a secret of ours."""
    return {name: value for name, value in environ.items() if name in _KEPT_VARIABLES or not name.startswith(_OURS)}


def document(one: Transition) -> dict[str, Any]:
    """What the command reads on its standard input."""
    from intctl.providers.catalogue import secret_field
    from intctl.views.steps import next_step

    code = one.code or ""
    secret = secret_field(one.provider) if code in CODES and CODES[code].rejection else ""
    return {
        "transition_id": one.id,
        "at": rfc3339(one.changed_at),
        "integration": clean(one.name),
        "id": one.integration_id,
        "org_id": one.org_id,
        "provider": clean(one.provider),
        "type": clean(one.type),
        "from": one.from_status,
        "to": one.to_status,
        "verdict": one.verdict,
        "code": one.code,
        "message": None if one.message is None else clean(one.message),
        "next_step": next_step(code, one.name, secret) if code else None,
        "attempt": one.attempts,
    }


@dataclass(slots=True)
class _Running:
    """One command under way."""

    one: Transition
    process: subprocess.Popen[bytes]
    ends_at: float
    said: bytearray = field(default_factory=bytearray)


class OnChange:
    """Runs the command for every transition that is due; `environ` is ours; `say` is the journal's."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], say: Callable[..., None], *, limit_s: float = LIMIT_S
    ) -> None:
        self._command = command
        self._environ = environ
        self._say = say
        self._limit_s = limit_s
        self._missed = False

    def deliver(
        self,
        database: Database,
        owner: str,
        *,
        org_id: str | None,
        stop: Callable[[], bool],
        progress: Callable[[], None],
    ) -> None:
        """Tells what is due, as long as `stop` is false. Raises StoreError only: the command fails nobody.

        A claim whose answer was lost is not looked for: it is told when its lease has run out.
        """
        environ = environment(self._environ)
        if self._is_missing(environ):
            return
        ends_at = time.monotonic() + _STARTING_S

        def until() -> float:  # a signal ends the trying, not the last try
            return time.monotonic() + (0.0 if stop() else _LEASE_S)

        def claim(_again: bool) -> list[Transition]:
            return transitions.claim(database, owner, limit=_AT_ONCE, lease_s=_LEASE_S, org_id=org_id)

        persist(database, lambda _again: _heed_maintenance(database, org_id), until)
        while not stop() and time.monotonic() < ends_at:
            due = persist(database, claim, until)
            if not due:
                return
            started = [self._start(one, environ) for one in due]
            with _StderrReader() as reader:
                running = [found for found in started if isinstance(found, _Running)]
                for one in running:
                    reader.add(one)
                while running:
                    reader.wait()
                    for one in [one for one in running if self._ended(one)]:
                        running.remove(one)
                        reader.finish(one)
                        self._tell(database, owner, one, until)
                        progress()
            for failed in [found for found in started if isinstance(found, Transition)]:
                self._give_back(database, owner, failed, until)

    def _is_missing(self, environ: Mapping[str, str]) -> bool:
        """Whether there is no such command: said once. Nothing is claimed then, so what is due stays so."""
        missing = shutil.which(self._command[0], path=environ.get("PATH")) is None
        if missing and not self._missed:
            self._warn(f"there is no command {clean(self._command[0], 100)}; nobody is told of changes")
        self._missed = missing
        return missing

    def _start(self, one: Transition, environ: Mapping[str, str]) -> _Running | Transition:
        """The command for this transition, under way; the transition where it could not be started."""
        try:
            process = subprocess.Popen(  # noqa: S603 - words of the operator's own, and no shell
                self._command,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._warn(f"{clean(self._command[0], 100)} could not be started (error {error.errno})", one)
            return one
        assert process.stdin is not None
        with suppress(OSError):  # a command that does not read is a command all the same
            os.set_blocking(process.stdin.fileno(), False)
            process.stdin.write(json.dumps(document(one), ensure_ascii=False).encode() + b"\n")
            process.stdin.flush()
        with suppress(OSError):
            process.stdin.close()
        return _Running(one, process, time.monotonic() + self._limit_s)

    def _ended(self, running: _Running) -> bool:
        if running.process.poll() is not None:
            return True
        if time.monotonic() < running.ends_at:
            return False
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()
        running.ends_at = 0.0
        return True

    def _give_back(self, database: Database, owner: str, one: Transition, until: Callable[[], float]) -> None:
        persist(database, lambda _again: transitions.give_back(database, owner, one), until)

    def _tell(self, database: Database, owner: str, running: _Running, until: Callable[[], float]) -> None:
        one, code = running.one, running.process.returncode
        killed = running.ends_at == 0.0
        exit_code = None if killed else code
        mine = persist(
            database, lambda again: transitions.mark_delivered(database, owner, one, exit_code, again=again), until
        )
        if killed:
            self._warn(f"it was killed after {self._limit_s:g} seconds", one)
        elif code != 0:
            words = clean(running.said.decode("utf-8", "replace").strip().rpartition("\n")[2], 200)
            ended = f"it ended with {code}" if code > 0 else f"it was ended by signal {-code}"
            self._warn(ended + (f": {words}" if words else ""), one)
        else:
            self._say("info", "told", f"{clean(one.name)}: told", quiet=True, **_named(one))
        if not mine:
            self._warn("this agent was held up, and another one told it too", one)

    def _warn(self, text: str, one: Transition | None = None) -> None:
        about = f" for {clean(one.name)} ({one.from_status} to {one.to_status})" if one else ""
        self._say("warning", "on_change", f"--on-change{about}: {text}.", **(_named(one) if one else {}))


def _is_inside(past: Sequence[tuple[float, float]], one: WaitingTransition) -> bool:
    return any(start <= one.changed_at.timestamp() < end for start, end in past)


def _heed_maintenance(database: Database, org_id: str | None) -> None:
    """Hold back the transitions of integrations in maintenance. After it, only a lasting difference is reported."""
    from intctl.metrics import maintenance

    found = transitions.waiting(database, org_id)
    windows = {org: history.maintenance(database, org) for org in {one.org_id for one in found}}
    for id, group in groupby(found, key=lambda one: one.integration_id):
        waiting = list(group)
        now, planned = waiting[0].now_at, windows[waiting[0].org_id]
        until = maintenance.until(planned, now)
        quiet = max((until[key] for key in (None, id) if key in until), default=None)
        if quiet is None:
            past = maintenance.ranges(planned, id, waiting[0].changed_at, now)
            stays: list[WaitingTransition] = []
            for inside, run in groupby(waiting, key=partial(_is_inside, past)):
                changes = list(run)
                if inside:
                    same = (changes[0].from_status == "error") == (changes[-1].to_status == "error")
                    left = [] if same else changes[-1:]
                    for one in changes[:-1] if left else changes:
                        transitions.drop(database, one.id)
                    changes = left
                stays += changes
            waiting = stays
        for one in waiting:
            if one.quiet_until != quiet and (quiet is not None or (one.quiet_until or now) > now):
                transitions.quieten(database, one.id, quiet)


def _named(one: Transition) -> dict[str, Any]:
    return {
        "integration": clean(one.name),
        "id": one.integration_id,
        "transition_id": one.id,
        "from": one.from_status,
        "to": one.to_status,
    }


class _StderrReader:
    """Reads what the commands say on standard error, so that none waits for us, and keeps the end of it."""

    def __enter__(self) -> _StderrReader:
        self._selector = selectors.DefaultSelector()
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def add(self, running: _Running) -> None:
        os.set_blocking(_stderr(running).fileno(), False)
        self._selector.register(_stderr(running), selectors.EVENT_READ, running)

    def wait(self) -> None:
        """Takes what there is, or waits a moment."""
        if not self._selector.get_map():
            time.sleep(_TICK_S)
        for key, _ in self._selector.select(_TICK_S):
            if not self._read(key.data):
                self._selector.unregister(key.fileobj)

    def finish(self, running: _Running) -> None:
        """Takes what is left. What a child of the command still says is not waited for."""
        self._read(running)
        with suppress(KeyError):
            self._selector.unregister(_stderr(running))
        _stderr(running).close()

    def _read(self, running: _Running) -> bool:
        try:
            data = os.read(_stderr(running).fileno(), 65536)
        except BlockingIOError:
            return True
        running.said += data
        del running.said[:-_KEPT_BYTES]
        return bool(data)


def _stderr(running: _Running) -> IO[bytes]:
    assert running.process.stderr is not None
    return running.process.stderr
