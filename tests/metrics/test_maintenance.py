"""The times of maintenance windows: once, every week, and when the clocks change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intctl.metrics import maintenance
from intctl.store.maintenance import MaintenanceWindow

from .. import records

BERLIN = ZoneInfo("Europe/Berlin")


def window(start: datetime, hours: float, **values: Any) -> MaintenanceWindow:
    """A window that begins at `start`."""
    ends = (start.replace(tzinfo=None) + timedelta(hours=hours)).replace(tzinfo=start.tzinfo)
    return records.window(start.astimezone(UTC), ends.astimezone(UTC), **{"time_zone": "Europe/Berlin", **values})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_weekly_window_keeps_its_time_of_day() -> None:
    """Sundays at 5 in Berlin: 4:00 UTC in winter, 3:00 in summer, also over the night of the change."""
    weekly = window(datetime(2024, 3, 17, 5, tzinfo=BERLIN), 2, weekly=True)
    found = list(maintenance.occurrences(weekly, utc("2024-03-17"), utc("2024-04-08")))
    assert [begins for begins, _ in found] == [
        utc("2024-03-17T04:00"),
        utc("2024-03-24T04:00"),
        utc("2024-03-31T03:00"),
        utc("2024-04-07T03:00"),
    ]
    assert all(ends - begins == timedelta(hours=2) for begins, ends in found)


@pytest.mark.parametrize(
    ("first", "night", "length"), [("2024-03-24T01:00", "2024-03-31", 2), ("2024-10-20T01:00", "2024-10-27", 4)]
)
def test_the_night_of_the_change_itself(first: str, night: str, length: int) -> None:
    """From 1 to 4 at night: an hour shorter if one is skipped, an hour longer if one is repeated."""
    weekly = window(datetime.fromisoformat(first).replace(tzinfo=BERLIN), 3, weekly=True)
    (found,) = maintenance.occurrences(weekly, utc(night), utc(night) + timedelta(days=1))
    assert found[1] - found[0] == timedelta(hours=length)


def test_an_hour_that_is_skipped_or_comes_twice() -> None:
    """A window of just that hour is empty in March, and covers both hours in October."""
    skipped = window(datetime(2024, 3, 24, 2, tzinfo=BERLIN), 1, weekly=True)
    assert list(maintenance.occurrences(skipped, utc("2024-03-30T12:00"), utc("2024-03-31T12:00"))) == []
    bounds = ((1, 1.5, ("00:00", "01:00")), (2.5, 1.5, ("01:00", "02:00")), (2.5, 0.75, ("01:00", "01:15")))
    for begins, hours, left in bounds:  # one that begins or ends in it keeps the rest
        half = window(datetime(2024, 3, 24, tzinfo=BERLIN) + timedelta(hours=begins), hours, weekly=True)
        (found,) = maintenance.occurrences(half, utc("2024-03-30T12:00"), utc("2024-03-31T12:00"))
        assert found == tuple(utc(f"2024-03-31T{time}") for time in left)
    twice = window(datetime(2024, 10, 20, 2, tzinfo=BERLIN), 1, weekly=True)
    both = list(maintenance.occurrences(twice, utc("2024-10-26T12:00"), utc("2024-10-27T12:00")))
    assert both == [(utc("2024-10-27T00:00"), utc("2024-10-27T02:00"))]


@given(
    st.integers(0, 7 * 24 * 4),
    st.integers(1, 6 * 24 * 4),
    st.integers(0, 400 * 24 * 2),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]),
)
@settings(max_examples=200, deadline=None)
def test_weekly_windows_agree_with_the_wall_clock(quarter: int, length: int, half_hours: int, zone: str) -> None:
    """A moment is inside exactly if its local time is, except in the hours in which the clocks change."""
    tz = ZoneInfo(zone)
    first = datetime(2024, 1, 1) + timedelta(minutes=15 * quarter)
    last = first + timedelta(minutes=15 * length)
    weekly = window(first.replace(tzinfo=tz), 0, weekly=True, time_zone=zone)
    weekly = replace(weekly, ends_at=last.replace(tzinfo=tz).astimezone(UTC))
    moment = utc("2024-01-15T00:07") + timedelta(minutes=30 * half_hours)
    wall = moment.astimezone(tz).replace(tzinfo=None)
    since = (wall - first) % timedelta(days=7)
    edges = [wall - since, wall - since + (last - first)]
    if any(
        edge.replace(tzinfo=tz).utcoffset() != (edge + shift).replace(tzinfo=tz).utcoffset()
        for edge in edges
        for shift in (timedelta(hours=3), timedelta(hours=-3))
    ):
        return
    expected = wall >= first and since < last - first
    assert bool(maintenance.until([weekly], moment)) == expected


def test_once_and_stopped() -> None:
    """A single window occurs once; a stopped one ends at the stop, and never occurs if stopped before its start."""
    once = window(datetime(2024, 3, 1, 10, tzinfo=UTC), 2)
    assert list(maintenance.occurrences(once, utc("2024-02-01"), utc("2024-04-01"))) == [
        (utc("2024-03-01T10:00"), utc("2024-03-01T12:00"))
    ]
    assert maintenance.until([once], utc("2024-03-01T11:00")) == {"1": utc("2024-03-01T12:00")}
    assert maintenance.until([once], utc("2024-03-01T12:00")) == {}
    half = replace(once, stopped_at=utc("2024-03-01T11:00"))
    assert maintenance.until([half], utc("2024-03-01T11:30")) == {}
    assert maintenance.ranges([half], "1", utc("2024-02-01"), utc("2024-04-01")) == [
        (utc("2024-03-01T10:00").timestamp(), utc("2024-03-01T11:00").timestamp())
    ]
    never = replace(once, stopped_at=utc("2024-02-01"))
    assert list(maintenance.occurrences(never, utc("2024-01-01"), utc("2025-01-01"))) == []
    weekly = replace(once, weekly=True, stopped_at=utc("2024-03-10"))
    assert len(list(maintenance.occurrences(weekly, utc("2024-02-01"), utc("2025-01-01")))) == 2
    assert maintenance.next_time(weekly, utc("2024-03-09")) is None
    assert maintenance.next_time(once, utc("2024-02-01")) == (utc("2024-03-01T10:00"), utc("2024-03-01T12:00"))


def test_for_one_and_for_all() -> None:
    """A window without an integration is for all; the longest wins."""
    one = window(datetime(2024, 3, 1, 10, tzinfo=UTC), 2)
    everything = replace(window(datetime(2024, 3, 1, 11, tzinfo=UTC), 2), integration_id=None)
    assert maintenance.until([one, everything], utc("2024-03-01T11:30")) == {
        "1": utc("2024-03-01T12:00"),
        None: utc("2024-03-01T13:00"),
    }
    assert len(maintenance.ranges([one, everything], "2", utc("2024-03-01"), utc("2024-03-02"))) == 1


@pytest.mark.parametrize(
    ("start", "hours", "weekly", "overlaps"),
    [
        ("2024-03-01T11:00", 1, False, True),
        ("2024-03-01T12:00", 1, False, False),
        ("2024-03-01T09:00", 1, False, False),
        ("2024-02-09T11:00", 2, True, True),
        ("2024-02-09T13:00", 2, True, False),
        ("2024-03-08T10:00", 2, True, False),
    ],
)
def test_overlaps(start: str, hours: int, weekly: bool, overlaps: bool) -> None:
    """Two windows of one integration overlap if they share a moment; adjacent ones do not. Others don't matter."""
    there = window(datetime(2024, 3, 1, 10, tzinfo=UTC), 2)
    new = window(utc(start), hours, weekly=weekly, time_zone="UTC")
    assert (maintenance.overlap(new, [there]) is there) == overlaps
    assert maintenance.overlap(replace(new, integration_id="2"), [there]) is None


def test_an_unknown_zone_breaks_nothing() -> None:
    """A zone that this machine does not know is read as UTC."""
    weekly = window(datetime(2024, 3, 17, 5, tzinfo=UTC), 2, weekly=True, time_zone="Mars/Olympus")
    assert maintenance.until([weekly], utc("2024-04-07T05:30")) == {"1": utc("2024-04-07T07:00")}
