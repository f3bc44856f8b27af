"""The service: one pass after another, until a signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intctl import __version__
from intctl.agent import PassSettings, Stop
from intctl.db.connect import Database
from intctl.errors import IntctlError, KeyringError, StoreError
from intctl.keyring import KEY_VARIABLE, Keyring
from intctl.service.runner import PassRunner

if TYPE_CHECKING:
    from intctl.service.systemd import ServiceManager

#: How soon a waiting service notices a signal, in seconds.
_TICK_S = 0.25


class Hangup:
    """SIGHUP, remembered until it is handled."""

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
    """Passes until a signal, one every `every_s` seconds at the most.

    An unreachable database, or a keyring that opens no config, does not end the service: it is reported once, and
    retried at the next turn. The wait after a completed pass counts as progress for the watchdog; the wait after a
    failed pass does not.
    """

    runner: PassRunner
    connect: Callable[[], Database]
    keyring: Keyring
    reload: Callable[[], Keyring]
    settings: PassSettings
    manager: ServiceManager
    every_s: float

    def run(self, stop: Stop) -> None:
        """Run until `stop`. Raises nothing but bugs."""
        journal = self.runner.around.journal
        journal.say("info", "started", f"intctl {__version__} started", quiet=True, version=__version__)
        self.manager.ready("Started; the first pass begins")
        reported: type[IntctlError] | None = None
        with Hangup() as hangup:
            while not stop:
                started = time.monotonic()
                failure = self._turn(stop)
                if failure is not None and type(failure) is not reported:
                    text = f"{failure} Retrying every {self.every_s:g} seconds."
                    journal.say("error", "pass_failed", text, exit_code=failure.exit_code)
                reported = None if failure is None else type(failure)
                # Short sleeps: a lock that the signal's handler would need could be held when it comes.
                while not stop and (left := started + self.every_s - time.monotonic()) > 0:
                    if hangup:
                        self._reload()
                    if failure is None:
                        self.runner.around.progress()
                    time.sleep(min(left, _TICK_S))
                if hangup:
                    self._reload()
        self.manager.stopping()
        journal.say("info", "stopped", "Stopped by a signal", quiet=True, signal=stop.signal)

    def _turn(self, stop: Stop) -> IntctlError | None:
        """Run one pass on a connection of its own. Returns the error that failed it."""
        database: Database | None = None

        def opened() -> Database:
            nonlocal database
            database = self.connect()
            return database

        try:
            summary = self.runner.run(opened, lambda: self.keyring, lambda: self.settings, stop)
        except IntctlError as error:
            self.manager.status(f"The last pass failed: {error}")
            return error
        finally:
            if database is not None:
                with suppress(StoreError):
                    database.close()
        self.runner.around.progress()
        self.manager.status(f"Last pass: {summary.line()}")
        return None

    def _reload(self) -> None:
        """Read the keyring again. An invalid one changes nothing."""
        journal = self.runner.around.journal
        self.manager.reloading()
        try:
            if self.keyring.source == KEY_VARIABLE:
                raise KeyringError(f"{KEY_VARIABLE} is read only at the start; restart the agent to change it.")
            self.keyring = self.reload()
        except KeyringError as error:
            journal.say("error", "reload_failed", f"The keyring was not reloaded; the old one stays in use: {error}")
            self.manager.ready(f"The keyring was not reloaded: {error}")
            return
        kids = [key.kid for key in self.keyring.keys]
        journal.say("info", "reloaded", f"Keyring reloaded: {', '.join(kids)}", keys=kids)
        self.manager.ready(f"Keyring reloaded: {', '.join(kids)}")
