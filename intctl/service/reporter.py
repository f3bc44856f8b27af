"""Gives events to the notifiers, and writes the results to the journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from intctl.notify.catalogue import Subscriber
from intctl.notify.event import Event, PassFailed, PassFinished, PassStarted, StatusChanged
from intctl.notify.notifier import Result
from intctl.service.journal import Journal
from intctl.text import clean, rfc3339

if TYPE_CHECKING:
    from intctl.notify.rules import Outbox, Retry


class Reporter:
    """Reports status changes and passes to `subscribers`."""

    def __init__(self, journal: Journal, subscribers: Sequence[Subscriber] = ()) -> None:
        self._journal = journal
        self._subscribers = tuple(subscribers)
        self._obstacles: dict[str, str] = {}
        self._starting: list[tuple[Subscriber, threading.Thread]] = []

    # --- passes

    def pass_started(self) -> None:
        """Report the start of a pass, in the background: the pass does not wait."""
        self._starting = []
        for one in self._takers(PassStarted):
            thread = threading.Thread(target=self._report, args=(one, PassStarted()), name="pass started", daemon=True)
            thread.start()
            self._starting.append((one, thread))

    def pass_ended(self, event: PassFinished | PassFailed, ends: float) -> None:
        """Report the end of a pass, begun before `ends`. Waits for the report of the start, which must arrive first."""
        for one, thread in self._starting:
            thread.join(max(min(one.notifier.limit_s, ends - time.monotonic()), 0.0))
        self._starting = []
        for one in self._takers(type(event)):
            if time.monotonic() < ends:
                self._report(one, event)

    def _report(self, one: Subscriber, event: Event) -> None:
        """Give one notifier an event of a pass. A bug in the notifier is a line in the journal."""
        try:
            results = list(one.notifier.deliver([event]))
        except Exception as error:
            self._journal.say("warning", one.entry.failed_event, _bug(one, error))
            return
        for result in results:
            self._say(one, result)

    # --- status changes

    def report_changes(self, outbox: Outbox, ends: float, progress: Callable[[], None]) -> None:
        """Deliver the status changes that are due, begun before `ends`. Raises StoreError or BusyError."""
        subscribers = self._takers(StatusChanged)
        if not subscribers or self._has_obstacle(subscribers):
            return
        for delivery in outbox.deliver_due(subscribers, ends):
            self._say(delivery.subscriber, delivery.result, delivery.retry)
            if not delivery.was_ours:
                words = "this agent was delayed, and another agent reported the change too"
                self._warn(delivery.subscriber, f"{words}.", delivery.result.event)
            if delivery.result.status != "not_started":
                progress()

    @property
    def change_limit_s(self) -> float:
        """The longest delivery of a status change, in seconds; 0 if no notifier is given status changes."""
        return sum(one.notifier.limit_s for one in self._takers(StatusChanged))

    @property
    def has_change_notifiers(self) -> bool:
        """Whether any notifier is given status changes."""
        return bool(self._takers(StatusChanged))

    def _has_obstacle(self, subscribers: Sequence[Subscriber]) -> bool:
        """Whether a notifier can't deliver, which is reported once. Nothing is claimed then: the changes stay due."""
        before, self._obstacles = self._obstacles, {}
        for one in subscribers:
            if words := one.notifier.obstacle():
                self._obstacles[one.entry.option] = words
                if before.get(one.entry.option) != words:
                    self._warn(one, f"{words}.")
        return bool(self._obstacles)

    # --- both

    def _takers(self, event: type[Event]) -> list[Subscriber]:
        return [one for one in self._subscribers if event in one.entry.events]

    def _say(self, one: Subscriber, result: Result, retry: Retry | None = None) -> None:
        if result.status in ("failed", "not_started"):
            reply = f": {result.reply}" if result.reply else ""
            self._warn(one, f"{result.words}{reply}.{_next(result.event, retry)}", result.event, retry)
        elif result.status == "delivered" and isinstance(result.event, StatusChanged) and retry is None:
            event = result.event
            self._journal.say("info", "told", f"{clean(event.name)}: reported", quiet=True, **_fields(event))

    def _warn(self, one: Subscriber, words: str, event: Event | None = None, retry: Retry | None = None) -> None:
        """Write a warning. `words` are whole sentences."""
        if event is not None and not isinstance(event, StatusChanged):
            self._journal.say("warning", one.entry.failed_event, words)
            return
        about = f" for {clean(event.name)} ({event.from_status} to {event.to_status})" if event else ""
        fields = _fields(event) if event else {}
        if event and retry:
            at = None if retry.at is None else rfc3339(retry.at)
            fields |= {"attempt": event.attempt, "next_attempt_at": at}
        self._journal.say("warning", one.entry.failed_event, f"{one.entry.option}{about}: {words}", **fields)


def _next(event: Event, retry: Retry | None) -> str:
    """What follows a failed attempt, as sentences after a full stop."""
    if retry is None or not isinstance(event, StatusChanged):
        return ""
    if retry.at is not None:
        text = f" Next attempt: {rfc3339(retry.at)[:19].replace('T', ' ')} UTC."
    elif retry.is_kept:
        text = f" It is a dead letter now. To send it again: intctl agent retell {event.id}."
    else:
        text = " No attempt is left, and this organisation keeps no dead letters."
    return text + (f" integration_retry_config is not used: {retry.problem}." if retry.problem else "")


def _fields(event: StatusChanged) -> dict[str, Any]:
    return {
        "integration": clean(event.name),
        "id": event.integration_id,
        "transition_id": event.id,
        "from": event.from_status,
        "to": event.to_status,
    }


def _bug(one: Subscriber, error: Exception) -> str:
    return f"{one.entry.option} failed: a bug in intctl ({type(error).__name__})."
