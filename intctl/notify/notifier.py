"""The interface of a notifier: events in, results out.

A notifier knows neither the database nor the journal. `rules.py` decides which events it is given and what a
result means for the next attempt; the service writes the results to the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from intctl.notify.event import Event

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy

#: delivered: the recipient accepted the event. failed: it was sent, and the recipient did not accept it.
#: not_started: it could not be sent at all, which is a failed attempt as well.
#: skipped: the notifier has no use for this event.
Status = Literal["delivered", "failed", "not_started", "skipped"]


class Result(NamedTuple):
    """The end of one delivery. `words` give the problem in intctl's own words, without a full stop or a secret.

    `exit_code` is that of a process that ended by itself. `reply` is what the recipient said; only the journal has it.
    """

    event: Event
    status: Status
    words: str = ""
    exit_code: int | None = None
    reply: str = ""


class Notifier(Protocol):
    """One way to deliver events.

    `at_once` is the number of events at a time, `limit_s` the time limit for them, in seconds: a lease on the events
    outlasts it.
    """

    at_once: int
    limit_s: float

    def obstacle(self) -> str:
        """The reason why no event can be delivered at present, without a full stop; "" if there is none.

        While there is one, the events stay due and no attempt is counted.
        """
        ...

    def deliver(self, events: Sequence[Event]) -> Iterator[Result]:
        """Deliver these events, and yield one result for each as it ends.

        A failed delivery is a result, never an exception.
        """
        ...


class Setting(NamedTuple):
    """The setting of a notifier. `target` is its option's value, `source` the option or variable that gave it.

    `environ` is the agent's environment. `is_service`: one agent process runs many passes. `budget_s` is the duration
    of a pass in seconds, None if it has no limit.
    """

    target: str
    source: str
    environ: Mapping[str, str]
    policy: Callable[[], AddressPolicy]
    is_service: bool = False
    budget_s: float | None = None
