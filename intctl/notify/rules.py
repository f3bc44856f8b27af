"""The rules of delivery: which status changes are due, in which order, how often, and not in maintenance.

A transition of the outbox (`store/transitions.py`) is claimed under a lease, with the older ones that it missed, and
given to every notifier of status changes. It is marked as delivered when all of them delivered it. Otherwise the
schedule (`schedule.py`) decides when it is retried by all of them, or that it is a dead letter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import groupby

from intctl.db.connect import Database
from intctl.db.persist import persist
from intctl.notify.catalogue import Subscriber
from intctl.notify.event import MissedChange, StatusChanged
from intctl.notify.notifier import Result
from intctl.notify.schedule import Schedule, schedule_of
from intctl.store import retry_config, transitions
from intctl.store.maintenance import windows as maintenance_windows
from intctl.store.transitions import Failure, Transition, WaitingTransition

#: The time by which a lease outlasts the notifiers, for marking the transition, in seconds.
_MARKING_S = 30.0


@dataclass(frozen=True, slots=True)
class Retry:
    """What follows a failed attempt: the next one at `at`, or none.

    `at` is None after the last attempt; `is_kept` then says whether it is a dead letter. `problem` is why the
    organisation's retry configuration is not used, or "".
    """

    at: datetime | None
    is_kept: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result of one notifier, and what follows if any of the notifiers failed.

    `was_ours` is False if the lease was lost: another agent delivers it too.
    """

    subscriber: Subscriber
    result: Result
    retry: Retry | None = None
    was_ours: bool = True


@dataclass(frozen=True, slots=True)
class Outbox:
    """The transitions of one organisation, or of all, for one agent.

    `owner` names this agent in the leases. `stop` is true after a signal; nothing is begun then.
    """

    database: Database
    owner: str
    org_id: str | None
    stop: Callable[[], bool]

    def deliver_due(self, subscribers: Sequence[Subscriber], ends: float) -> Iterator[Delivery]:
        """Deliver what is due, begun before `ends` on the monotonic clock. Raises StoreError or BusyError.

        A claim whose reply was lost is not searched for: its transitions are due again when the lease expires.
        """
        limit_s = sum(one.notifier.limit_s for one in subscribers)
        lease_s = limit_s + _MARKING_S
        at_once = min(one.notifier.at_once for one in subscribers)

        def until() -> float:  # a signal ends the retries, not the last attempt
            return time.monotonic() if self.stop() else min(time.monotonic() + lease_s, ends + limit_s)

        def claim(_again: bool) -> list[Transition]:
            return transitions.claim(self.database, self.owner, limit=at_once, lease_s=lease_s, org_id=self.org_id)

        persist(self.database, lambda _again: hold_back_in_maintenance(self.database, self.org_id), until)
        while not self.stop() and time.monotonic() < ends:
            due = persist(self.database, claim, until)
            if not due:
                return
            if self.stop() or time.monotonic() >= ends:  # the database was slow
                for one in due:
                    self._give_back(one, until)
                return
            yield from self._deliver(due, subscribers, until)

    def _deliver(
        self, due: Sequence[Transition], subscribers: Sequence[Subscriber], until: Callable[[], float]
    ) -> Iterator[Delivery]:
        """Give the claimed transitions to each notifier, and mark each one after the last of its results."""
        claimed = {one.id: _Claimed(one, len(subscribers)) for one in due}
        for one in [one for one in claimed.values() if self._has_no_attempt_left(one.transition, until)]:
            del claimed[one.transition.id]
            failed = Result(status_changed(one.transition), "failed", "the agent ended during the last attempt")
            one.results.append((subscribers[0], failed))
            yield from self._settle(one, until)
        events = [status_changed(one.transition) for one in claimed.values()]
        for subscriber in subscribers:
            for result in subscriber.notifier.deliver(events):
                assert isinstance(result.event, StatusChanged)
                one = claimed[result.event.id]
                one.results.append((subscriber, result))
                if one.is_done:
                    yield from self._settle(one, until)

    def _has_no_attempt_left(self, one: Transition, until: Callable[[], float]) -> bool:
        """Whether the attempts were used up by agents that were killed, which leaves no result."""
        return one.attempts > 1 and one.attempts > self._schedule(one.org_id, until)[0].attempts

    def _settle(self, one: _Claimed, until: Callable[[], float]) -> Iterator[Delivery]:
        """Mark a transition by its results, and yield them."""
        failed = one.failed
        if failed is None:
            was_ours = self._mark(one, until)
            yield from (Delivery(*pair, was_ours=was_ours) for pair in one.results)
            return
        retry, was_ours = self._retry(one.transition, failed, until)
        yield from (Delivery(*pair, retry, was_ours) for pair in one.results)

    def _mark(self, one: _Claimed, until: Callable[[], float]) -> bool:
        exit_code = next((result.exit_code for _, result in one.results if result.exit_code is not None), None)
        mark = partial(transitions.mark_delivered, self.database, self.owner, one.transition, exit_code)
        return persist(self.database, lambda again: mark(again=again), until)

    def _retry(self, one: Transition, failed: Result, until: Callable[[], float]) -> tuple[Retry | None, bool]:
        """Plan the next attempt, or end the transition after the last. Returns it, and whether the lease was held."""
        schedule, problem = self._schedule(one.org_id, until)
        delay_s = schedule.delay_after(one.attempts)
        if delay_s is None and not schedule.keeps_dead_letters:
            persist(self.database, lambda _again: transitions.discard(self.database, self.owner, one), until)
            return Retry(None, is_kept=False, problem=problem), True
        mark = partial(
            transitions.mark_failed, self.database, self.owner, one, Failure(failed.words, failed.exit_code, delay_s)
        )
        marked = persist(self.database, lambda again: mark(again=again), until)
        return (Retry(marked.next_attempt_at, problem=problem) if marked.was_ours else None), marked.was_ours

    def _schedule(self, org_id: str, until: Callable[[], float]) -> tuple[Schedule, str]:
        return schedule_of(persist(self.database, lambda _again: retry_config.find(self.database, org_id), until))

    def _give_back(self, transition: Transition, until: Callable[[], float]) -> None:
        persist(self.database, lambda _again: transitions.give_back(self.database, self.owner, transition), until)


@dataclass(slots=True)
class _Claimed:
    """A claimed transition, and its results so far. `notifiers` is the number of its notifiers."""

    transition: Transition
    notifiers: int
    results: list[tuple[Subscriber, Result]] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether every notifier has a result."""
        return len(self.results) == self.notifiers

    @property
    def failed(self) -> Result | None:
        """The first result that is a failure."""
        return next((one for _, one in self.results if one.status in ("failed", "not_started")), None)


def status_changed(one: Transition) -> StatusChanged:
    """The event of a claimed transition."""
    return StatusChanged(
        id=one.id,
        occurred_at=one.changed_at,
        name=one.name,
        integration_id=one.integration_id,
        org_id=one.org_id,
        provider=one.provider,
        type=one.type,
        from_status=one.from_status,
        to_status=one.to_status,
        verdict=one.verdict,
        code=one.code,
        message=one.message,
        attempt=one.attempts,
        facts=one.metadata.facts if one.metadata.code == one.code else {},
        missed=tuple(MissedChange(*older) for older in one.missed),
    )


def hold_back_in_maintenance(database: Database, org_id: str | None) -> None:
    """Hold back the transitions of integrations in maintenance until it is over."""
    from intctl.metrics import maintenance

    found = transitions.waiting(database, org_id)
    windows = {org: maintenance_windows(database, org) for org in {one.org_id for one in found}}
    for id, group in groupby(found, key=lambda one: one.integration_id):
        waiting = list(group)
        now, planned = waiting[0].now_at, windows[waiting[0].org_id]
        until = maintenance.until(planned, now)
        quiet = max((until[key] for key in (None, id) if key in until), default=None)
        if quiet is None:
            past = maintenance.ranges(planned, id, waiting[0].changed_at, now)
            waiting = _drop_passing(database, waiting, past)
        for one in waiting:
            if one.quiet_until != quiet and (quiet is not None or (one.quiet_until or now) > now):
                transitions.quieten(database, one.id, quiet)


def _drop_passing(
    database: Database, waiting: Sequence[WaitingTransition], past: Sequence[tuple[float, float]]
) -> list[WaitingTransition]:
    """Drop transitions that past maintenance undid. Of each window, the last one stays if the status changed."""
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
    return stays


def _is_inside(past: Sequence[tuple[float, float]], one: WaitingTransition) -> bool:
    return any(start <= one.changed_at.timestamp() < end for start, end in past)
