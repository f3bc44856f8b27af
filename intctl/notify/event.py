"""Events that a notifier delivers, and the document that describes a status change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from intctl.text import clean, rfc3339

#: How many of the older changes the document lists, the newest of them.
LISTED_MISSED = 50


class MissedChange(NamedTuple):
    """An older change of the same integration that was not delivered before."""

    id: str
    from_status: str
    to_status: str
    occurred_at: datetime
    code: str | None


class StatusChanged(NamedTuple):
    """A change into or out of the status error. `attempt` counts the deliveries begun, including this one.

    `facts` are those of the check. `id` is the same for every attempt. `missed` are older changes, oldest first; this
    delivery is theirs, too.
    """

    id: str
    occurred_at: datetime
    name: str
    integration_id: str
    org_id: str
    provider: str
    type: str
    from_status: str
    to_status: str
    verdict: str | None
    code: str | None
    message: str | None
    attempt: int
    facts: Mapping[str, object] = MappingProxyType({})
    missed: tuple[MissedChange, ...] = ()


class PassStarted:
    """A pass of this agent began."""

    __slots__ = ()


class PassFinished:
    """A pass of this agent was completed and recorded."""

    __slots__ = ()


class PassFailed:
    """A pass of this agent failed."""

    __slots__ = ()


Event = StatusChanged | PassStarted | PassFinished | PassFailed

#: The events for notifiers of passes; StatusChanged goes to the notifiers of status changes.
PASS_EVENTS = (PassStarted, PassFinished, PassFailed)


def document(event: StatusChanged) -> dict[str, object]:
    """The JSON document that describes a status change. Its keys are stable."""
    from intctl.views.steps import next_step

    code = event.code or ""
    return {
        "transition_id": event.id,
        "at": rfc3339(event.occurred_at),
        "integration": clean(event.name),
        "id": event.integration_id,
        "org_id": event.org_id,
        "provider": clean(event.provider),
        "type": clean(event.type),
        "from": event.from_status,
        "to": event.to_status,
        "verdict": event.verdict,
        "code": event.code,
        "message": None if event.message is None else clean(event.message),
        "next_step": next_step(code, event.name, event.facts) if code else None,
        "attempt": event.attempt,
        "missed": [_missed(one) for one in event.missed[-LISTED_MISSED:]],
    }


def _missed(one: MissedChange) -> dict[str, object]:
    return {
        "id": one.id,
        "was": one.from_status,
        "became": one.to_status,
        "at": rfc3339(one.occurred_at),
        "code": one.code,
    }
