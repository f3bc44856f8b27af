"""One pass with all that surrounds it, and the service that makes one after another."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intctl import __version__, agent
from intctl.agent import PassSettings, Stop, Summary
from intctl.db.connect import Database
from intctl.db.ids import new_owner
from intctl.db.persist import persist
from intctl.errors import BusyError, IntctlError, KeyringError, StoreError
from intctl.keyring import KEY_VARIABLE, Keyring
from intctl.service.journal import Journal
from intctl.store import passes
from intctl.store.passes import Agent, NotedPass, PassNote

if TYPE_CHECKING:
    from intctl.notify.command import OnChange
    from intctl.notify.ping import Ping
    from intctl.service.systemd import Notifier

#: How soon a service that waits sees a signal, in seconds.
_TICK_S = 0.25
#: What the noting of a pass gets at the least, in seconds, also where its budget is spent.
_NOTING_S = 5.0


def _nothing() -> None:
    """Nobody watches."""


@dataclass(slots=True)
class PassRunner:
    """A pass, and all who hear of it. `progress` is called whenever something was really done."""

    journal: Journal
    host: str
    ping: Ping | None = None
    on_change: OnChange | None = None
    metrics_file: Path | None = None
    progress: Callable[[], None] = _nothing
    say_idle: bool = True

    def run(
        self,
        opened: Callable[[], Database],
        keyring: Callable[[], Keyring],
        settings: Callable[[], PassSettings],
        stop: Stop,
    ) -> Summary:
        """One pass, from opening the database on. What fails it is told, and raised again.

        A pass that a signal ended is neither a success nor a failure: no ping says that it was. Raises
        KeyringError, besides, when not one config could be opened.
        """
        began = time.monotonic()
        database: Database | None = None
        org_id: str | None = None
        if self.ping is not None:
            self.ping.start()
        try:
            database = opened()
            keys, how = keyring(), settings()
            org_id = how.org_id
            summary = self._pass(database, keys, how, stop, began)
        except Exception as error:
            self._failed(error, database, org_id, began)
            raise
        if self.ping is not None and not stop:
            self.ping.success()
        return summary

    def _pass(self, database: Database, keyring: Keyring, settings: PassSettings, stop: Stop, began: float) -> Summary:
        begin = partial(self._begin, database, settings.org_id)
        summary = agent.run_once(
            database, keyring, settings, stop, begin=begin, progress=lambda _batch: self.progress()
        )
        duration_s = round(time.monotonic() - began, 3)
        self._report(summary, duration_s)
        owner = new_owner(self.host)
        if self.on_change is not None and not stop:
            self.on_change.deliver(database, owner, org_id=settings.org_id, stop=stop.__bool__, progress=self.progress)
        if summary.keyless:
            raise KeyringError(summary.notice)
        if not summary.stopped:
            duration_s = round(time.monotonic() - began, 3)  # the telling took its time, too
            metadata = {
                **counted(summary),
                "duration_s": duration_s,
                "keys": [key.kid for key in keyring.keys],
                "pass_id": owner,
            }
            ends = max(began + (settings.budget_s or math.inf), time.monotonic() + _NOTING_S)
            # A signal ends the trying, not the last try.
            self._note(database, settings.org_id, summary, metadata, lambda: min(ends, stop.at))
        return summary

    def _begin(self, database: Database, org_id: str | None) -> None:
        # Leases are held by now: what can't be noted must not leave them behind.
        with suppress(IntctlError):
            passes.begin(database, Agent(self.host, org_id, __version__))

    def _report(self, summary: Summary, duration_s: float) -> None:
        if self.say_idle or summary.recorded or summary.set_aside or summary.lost or summary.given_back:
            counts = {name: value for name, value in counted(summary).items() if name not in ("faults", "history")}
            self.journal.say("info", "pass", summary.line(), **counts, duration_s=duration_s)
        if not summary.keyless:
            self.journal.local_issues(summary.local_issues, summary.notice)
        if summary.history:
            self.journal.say("warning", "history", summary.history)

    def _note(
        self,
        database: Database,
        org_id: str | None,
        summary: Summary,
        metadata: dict[str, Any],
        until: Callable[[], float],
    ) -> None:
        """Writes down that the pass was completed, in the database and in the metrics file."""
        duration_s = metadata["duration_s"]

        def finish(again: bool) -> NotedPass:
            agent = Agent(self.host, org_id, __version__)
            return passes.finish(database, agent, PassNote(duration_s, summary.recorded, metadata), again=again)

        try:
            noted = persist(database, finish, until)
            persist(database, lambda _again: passes.prune(database, noted), until)
        except BusyError as error:  # the checks are recorded, and the next pass says that agents live
            self.journal.say("warning", "not_noted", f"The pass could not be noted: {error}")
            return
        if self.metrics_file is not None:
            from intctl.service.exposition import Done, exposition, write

            done = Done(noted.finished_at, duration_s, summary.verdicts, noted.passes, noted.checks)
            try:
                gauges = persist(database, lambda _again: passes.gauges(database, org_id), until)
            except IntctlError as error:  # the pass is noted, and the next one writes the file
                self.journal.say("warning", "metrics_file", f"--metrics-file was not written: {error}")
                return
            self._to_file(lambda path: write(path, exposition(gauges, done)))

    def _failed(self, error: Exception, database: Database | None, org_id: str | None, began: float) -> None:
        """Tells of a pass that failed, as far as anybody can still be told."""
        if self.ping is not None:
            self.ping.fail()
        if self.metrics_file is not None:
            from intctl.service.exposition import write_failed

            self._to_file(write_failed)
        if database is not None and not isinstance(error, StoreError | BusyError):
            failure = str(error) if isinstance(error, IntctlError) else f"a bug of intctl ({type(error).__name__})"
            with suppress(IntctlError):
                agent = Agent(self.host, org_id, __version__)
                passes.fail(database, agent, duration_s=time.monotonic() - began, failure=failure)

    def _to_file(self, put: Callable[[Path], None]) -> None:
        assert self.metrics_file is not None
        try:
            put(self.metrics_file)
        except OSError as error:
            text = f"--metrics-file: {self.metrics_file} could not be written (error {error.errno})."
            self.journal.say("warning", "metrics_file", text)


def counted(summary: Summary) -> dict[str, Any]:
    """A pass in counts, as JSON knows them."""
    counts = asdict(summary)
    return {"checked": counts.pop("recorded"), **counts}


class Hangup:
    """SIGHUP, remembered until somebody asks."""

    def __enter__(self) -> Hangup:
        self._came = False
        self._previous = signal.signal(signal.SIGHUP, self._set)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGHUP, self._previous)

    def __bool__(self) -> bool:
        came, self._came = self._came, False
        return came

    def _set(self, _number: int, _frame: object) -> None:
        self._came = True


@dataclass(slots=True)
class Service:
    """Passes until a signal, a new one every `every_s` seconds at the most.

    A database that is away, or a keyring that opens nothing, ends no service: it is told once, and
    tried again at the next turn. `watch.progress` hears of what was done, and of the waiting after a
    pass that was completed, but never of the waiting after one that failed.
    """

    runner: PassRunner
    connect: Callable[[], Database]
    keyring: Keyring
    reload: Callable[[], Keyring]
    settings: PassSettings
    notifier: Notifier
    every_s: float

    def run(self, stop: Stop) -> None:
        """Until `stop`. Raises nothing but bugs."""
        journal = self.runner.journal
        journal.say("info", "started", f"intctl {__version__} started", quiet=True, version=__version__)
        self.notifier.ready("Started; the first pass begins")
        told: type[IntctlError] | None = None
        with Hangup() as hangup:
            while not stop:
                started = time.monotonic()
                failure = self._turn(stop)
                if failure is not None and type(failure) is not told:
                    text = f"{failure} Trying again every {self.every_s:g} seconds."
                    journal.say("error", "pass_failed", text, exit_code=failure.exit_code)
                told = None if failure is None else type(failure)
                # Short sleeps: a lock that the signal's handler would need could be held when it comes.
                while not stop and (left := started + self.every_s - time.monotonic()) > 0:
                    if hangup:
                        self._reload()
                    if failure is None:
                        self.runner.progress()
                    time.sleep(min(left, _TICK_S))
                if hangup:
                    self._reload()
        self.notifier.stopping()
        journal.say("info", "stopped", "Stopped by a signal", quiet=True, signal=stop.signal)

    def _turn(self, stop: Stop) -> IntctlError | None:
        """One pass on a connection of its own; what went wrong, if anything did."""
        database: Database | None = None

        def opened() -> Database:
            nonlocal database
            database = self.connect()
            return database

        try:
            summary = self.runner.run(opened, lambda: self.keyring, lambda: self.settings, stop)
        except IntctlError as error:
            self.notifier.status(f"The last pass failed: {error}")
            return error
        finally:
            if database is not None:
                with suppress(StoreError):
                    database.close()
        self.runner.progress()
        self.notifier.status(f"Last pass: {summary.line()}")
        return None

    def _reload(self) -> None:
        """Reads the keyring again. One that can't be used changes nothing."""
        journal = self.runner.journal
        self.notifier.reloading()
        try:
            if self.keyring.source == KEY_VARIABLE:
                raise KeyringError(f"{KEY_VARIABLE} is read at the start only; restart the agent to change it.")
            self.keyring = self.reload()
        except KeyringError as error:
            journal.say("error", "reload_failed", f"The keyring was not reloaded, the old one stays in use: {error}")
            self.notifier.ready(f"The keyring was not reloaded: {error}")
            return
        kids = [key.kid for key in self.keyring.keys]
        journal.say("info", "reloaded", f"Keyring reloaded: {', '.join(kids)}", keys=kids)
        self.notifier.ready(f"Keyring reloaded: {', '.join(kids)}")
