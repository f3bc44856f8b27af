"""One pass, with the steps before and after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from intctl import __version__, agent
from intctl.agent import PassSettings, Stop, Summary
from intctl.db.connect import Database
from intctl.db.ids import new_owner
from intctl.errors import IntctlError, KeyringError
from intctl.health.judge import HELD_BACK_S
from intctl.keyring import Keyring
from intctl.service.steps import AFTER_FAILURE, AFTER_PASS, DonePass, FailedPass, Surroundings, counted, run_steps
from intctl.store import passes
from intctl.store.passes import Agent

#: How long the note of a pass names an integration that was held back, in seconds: until its next checks.
_LOCKED_SHOWN_S = 1.5 * HELD_BACK_S
#: How many of them it names.
_LOCKED_SHOWN = 100


@dataclass(slots=True)
class PassRunner:
    """Runs a pass and the steps after it. `say_idle`: a pass that did nothing is a line in the journal, too."""

    around: Surroundings
    host: str
    say_idle: bool = True
    _locked: dict[str, float] = field(default_factory=dict)

    def run(
        self,
        opened: Callable[[], Database],
        keyring: Callable[[], Keyring],
        settings: Callable[[], PassSettings],
        stop: Stop,
    ) -> Summary:
        """Run one pass, including opening the database. An error that fails the pass is reported and re-raised.

        Also raises KeyringError if no config could be opened.
        """
        began = time.monotonic()
        database: Database | None = None
        me = Agent(self.host, None, __version__)
        self.around.reporter.pass_started()
        try:
            database = opened()
            keys, how = keyring(), settings()
            me = Agent(self.host, how.org_id, __version__)
            summary = self._pass(database, me, keys, how, stop, began)
        except Exception as error:
            run_steps(AFTER_FAILURE, FailedPass(self.around, database, me, error, began))
            raise
        return summary

    def _pass(
        self, database: Database, me: Agent, keyring: Keyring, settings: PassSettings, stop: Stop, began: float
    ) -> Summary:
        around = self.around
        summary = agent.run_once(
            database,
            keyring,
            self._checking(settings),
            stop,
            begin=partial(_begin, database, me),
            progress=lambda _batch: around.progress(),
        )
        self._report(summary, round(time.monotonic() - began, 3))
        kids = [key.kid for key in keyring.keys]
        pass_id = new_owner(self.host)
        done = DonePass(around, database, me, stop, summary, kids, pass_id, began, settings.budget_s)
        done.locked = self._recently_locked(summary)
        run_steps(AFTER_PASS, done)
        if summary.keyless:
            raise KeyringError(summary.notice)
        return summary

    def _recently_locked(self, summary: Summary) -> list[str]:
        """The integrations that were held back lately: a locked one is not due in every pass of a service."""
        now = time.monotonic()
        self._locked |= dict.fromkeys(summary.held_back, now)
        self._locked = {id: at for id, at in self._locked.items() if now - at < _LOCKED_SHOWN_S}
        return sorted(self._locked)[:_LOCKED_SHOWN]

    def _checking(self, settings: PassSettings) -> PassSettings:
        """The settings without the time that the pass needs for one delivery of status changes."""
        if settings.budget_s is None or not (reserve_s := self.around.reporter.change_limit_s):
            return settings
        return settings._replace(budget_s=max(settings.budget_s - reserve_s, settings.budget_s / 2))

    def _report(self, summary: Summary, duration_s: float) -> None:
        journal = self.around.journal
        done = summary.recorded or summary.set_aside or summary.lost or summary.given_back or summary.held_back
        if self.say_idle or done:
            counts = {name: value for name, value in counted(summary).items() if name not in ("faults", "history")}
            journal.say("info", "pass", summary.line(), **counts, duration_s=duration_s)
        if not summary.keyless:
            journal.local_issues(summary.local_issues, summary.notice)


def _begin(database: Database, agent: Agent) -> None:
    # Leases are held by now: failing to note the start must not leave them held.
    with suppress(IntctlError):
        passes.begin(database, agent)
