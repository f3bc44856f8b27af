"""Trouble with the database that may pass, and trouble that stays."""

from __future__ import annotations

import math
import time

import pytest

from intctl.db.connect import connect
from intctl.db.persist import patiently, persist
from intctl.db.url import Target
from intctl.errors import BusyError, IntctlError, StoreError


@pytest.mark.parametrize("trouble", [StoreError("gone", transient=True), BusyError("locked")])
def test_what_may_pass_is_tried_again(target: Target, trouble: IntctlError) -> None:
    """Three times in trouble, then done; every try after the first is told that it is one."""
    told: list[bool] = []

    def work(again: bool) -> str:
        told.append(again)
        if len(told) < 4:
            raise trouble
        return str(database.row("SELECT name FROM organizations"))

    with connect(target) as database:
        assert persist(database, work, lambda: math.inf) == "{'name': 'Acme'}"
    assert told == [False, True, True, True]


def test_what_stays_is_told_at_once() -> None:
    """An error that time does not heal is not tried again."""
    told: list[bool] = []

    def work(again: bool) -> None:
        told.append(again)
        raise StoreError("no such table")

    with pytest.raises(StoreError, match="no such table"):
        patiently(work, lambda: math.inf)
    assert told == [False]


def test_no_try_without_time_for_it() -> None:
    """With too little time left the trouble itself is told; a signal may shorten the time meanwhile."""
    ends = [math.inf, math.inf, math.inf, 0.0]
    told: list[bool] = []

    def work(again: bool) -> None:
        told.append(again)
        raise StoreError("gone", transient=True)

    with pytest.raises(StoreError, match="gone"):
        patiently(work, lambda: ends.pop(0) if len(ends) > 1 else ends[0])
    assert told[0] is False and len(told) <= 2
    with pytest.raises(StoreError, match="gone"):
        patiently(work, lambda: time.monotonic() + 1)
    assert told[-1] is False


def test_a_connection_that_was_lost_before_is_made_anew(postgresql_target: Target) -> None:
    """The first try already has a connection that works."""
    with connect(postgresql_target) as database:
        database.close()
        assert database.lost
        row = persist(database, lambda again: (again, database.row("SELECT 1 AS one")), lambda: math.inf)
        assert row == (False, {"one": 1})
