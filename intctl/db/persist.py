"""Retry when the database is briefly unavailable, over a new connection each time, for half a minute."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from intctl.db.connect import Database
from intctl.errors import BusyError, StoreError

T = TypeVar("T")

#: How long transient errors are retried, in seconds, and the first and the longest pause between two attempts.
GIVE_UP_S = 30.0
_FIRST_S, _LONGEST_S = 0.2, 5.0
#: The time limit of the last attempt, in seconds.
_LAST_TRY_S = 2.0
#: No further attempt starts with less time left than this, in seconds.
_WORTH_S = 3.0


def persist(database: Database, work: Callable[[bool], T], ends: Callable[[], float]) -> T:
    """Call `work` and return its result, with retries after transient errors.

    The argument of `work` says whether this is a retry: an earlier attempt may have been committed. `ends` returns
    the time of the monotonic clock after which nothing is tried; it is called each time, because a signal can bring
    that time forward. Raises the error of the last attempt.
    """

    def attempt(again: bool) -> T:
        database.limit(max(ends(), time.monotonic() + _LAST_TRY_S))
        if again or database.lost:
            database.reopen()
        return work(again)

    return patiently(attempt, ends)


def patiently(attempt: Callable[[bool], T], ends: Callable[[], float]) -> T:
    """Call `attempt` with retries, and return its result; its argument says whether this is a retry."""
    gives_up, pause, again = time.monotonic() + GIVE_UP_S, _FIRST_S, False
    while True:
        try:
            return attempt(again)
        except (StoreError, BusyError) as error:
            if not _passing(error):
                raise
            next_try = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 -- not for secrecy
            if next_try >= min(gives_up, ends() - _WORTH_S):
                raise  # report the error of the database, not the lack of time
            while time.monotonic() < min(next_try, ends()):
                time.sleep(0.05)
            again, pause = True, min(pause * 2, _LONGEST_S)


def _passing(error: StoreError | BusyError) -> bool:
    return isinstance(error, BusyError) or error.transient
