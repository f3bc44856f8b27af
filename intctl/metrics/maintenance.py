"""Maintenance windows: when they are. A weekly one keeps its time of day where the clocks change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from intctl.store.maintenance import MaintenanceWindow

WEEK = timedelta(days=7)
#: The longest that one may be, in days: what is away for longer is switched off.
LONGEST_DAYS = 31


def occurrences(window: MaintenanceWindow, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When the window is, as far as that touches the time from `start` to `end`; in UTC and in order."""
    for begins, ends in _all(window, start, end):
        until = min(ends, window.stopped_at) if window.stopped_at else ends
        if begins < until and begins < end and until > start:
            yield begins, until


def _all(window: MaintenanceWindow, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    if not window.weekly:
        yield window.starts_at, window.ends_at
        return
    zone = zone_of(window.time_zone)
    first, last = (one.astimezone(zone).replace(tzinfo=None) for one in (window.starts_at, window.ends_at))
    # A day early and late: an occurrence may begin before `start`, and a change of the clocks moves it.
    week = max((start - window.ends_at) // WEEK - 1, 0)
    while True:
        shift = week * WEEK
        # An hour that comes twice is covered both times; one that is skipped leaves the rest.
        begins, ends = _utc(first + shift, zone, fold=0), _utc(last + shift, zone, fold=1)
        if begins >= end:
            return
        if begins < ends:
            yield begins, ends
        week += 1


def _utc(local: datetime, zone: Any, *, fold: int) -> datetime:
    """A time of day in UTC: of one that comes twice the first or (`fold` 1) the second, of a skipped one the jump."""
    once, again = (local.replace(tzinfo=zone, fold=which).astimezone(UTC) for which in (0, 1))
    if once <= again:
        return again if fold else once
    before, after = again, once  # the clocks go forward in between
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def zone_of(name: str) -> Any:
    """A time zone by its name. UTC where this machine does not know it: no window breaks a list."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def ranges(windows: Sequence[MaintenanceWindow], id: str, start: datetime, end: datetime) -> list[tuple[float, float]]:
    """The time in which one integration is in maintenance, as seconds since 1970; not disjoint."""
    return [
        (begins.timestamp(), ends.timestamp())
        for window in windows
        if window.integration_id in (None, id)
        for begins, ends in occurrences(window, start, end)
    ]


def until(windows: Sequence[MaintenanceWindow], now: datetime) -> Mapping[str | None, datetime]:
    """Which integrations are in maintenance now, and until when; under None: all of them."""
    found: dict[str | None, datetime] = {}
    for window in windows:
        for begins, ends in occurrences(window, now, now + timedelta(microseconds=1)):
            if begins <= now < ends:
                key = window.integration_id
                found[key] = max(found.get(key, ends), ends)
    return found


def next_time(window: MaintenanceWindow, now: datetime) -> tuple[datetime, datetime] | None:
    """When it is now or next; None where it is over."""
    return next(occurrences(window, now, max(now, window.starts_at) + WEEK * 3), None)


def overlap(new: MaintenanceWindow, others: Sequence[MaintenanceWindow]) -> MaintenanceWindow | None:
    """The first of `others`, for the same integrations, that is at a time at which `new` is; None where none is.

    Weekly ones are compared over two years from the later start: all combinations of clock changes.
    """
    for other in others:
        if other.integration_id != new.integration_id:
            continue
        start = max(new.starts_at, other.starts_at)
        horizon = start + timedelta(days=731)
        ends = [window.ends_at for window in (new, other) if not window.weekly]
        end = min([horizon, *ends])
        taken = list(occurrences(other, min(new.starts_at, start), end))
        for begins, ends_ in occurrences(new, min(new.starts_at, start), end):
            if any(begins < until and since < ends_ for since, until in taken):
                return other
    return None
