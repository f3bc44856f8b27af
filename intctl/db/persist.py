"""Going on when the database goes away for a moment: once more, over a new connection, for half a minute."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from intctl.db.connect import Database
from intctl.errors import BusyError, StoreError

T = TypeVar("T")

#: How long trouble that may pass is borne, in seconds, and the first and the longest pause between two tries.
GIVE_UP_S = 30.0
_FIRST_S, _LONGEST_S = 0.2, 5.0
#: What a last try gets when the time is up, in seconds.
_LAST_TRY_S = 2.0
#: With less time than this left, no other try is begun, in seconds.
_WORTH_S = 3.0


def persist(database: Database, work: Callable[[bool], T], ends: Callable[[], float]) -> T:
    """What `work` gives, tried again after trouble that may pass.

    `work` is told whether this is another try: what an earlier one wrote may be there or not.
    `ends` is a moment of the monotonic clock after which nothing is tried; asked again and again,
    for a signal may bring it nearer. Raises what the last try raised.
    """

    def attempt(again: bool) -> T:
        database.limit(max(ends(), time.monotonic() + _LAST_TRY_S))
        if again or database.lost:
            database.reopen()
        return work(again)

    return patiently(attempt, ends)


def patiently(attempt: Callable[[bool], T], ends: Callable[[], float]) -> T:
    """What `attempt` gives in the end; it is told whether it was tried before. For work that needs no database yet."""
    gives_up, pause, again = time.monotonic() + GIVE_UP_S, _FIRST_S, False
    while True:
        try:
            return attempt(again)
        except (StoreError, BusyError) as error:
            if not _passing(error):
                raise
            next_try = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 -- not for secrecy
            if next_try >= min(gives_up, ends() - _WORTH_S):
                raise  # what is told is then the trouble, and not that there was no time
            while time.monotonic() < min(next_try, ends()):
                time.sleep(0.05)
            again, pause = True, min(pause * 2, _LONGEST_S)


def _passing(error: StoreError | BusyError) -> bool:
    return isinstance(error, BusyError) or error.transient
