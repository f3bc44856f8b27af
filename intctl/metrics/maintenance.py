"""The times of maintenance windows. A weekly window keeps its time of day when the clocks change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from intctl.store.maintenance import MaintenanceWindow

WEEK = timedelta(days=7)
#: The maximum length of a window, in days: for longer, disable the integration.
LONGEST_DAYS = 31


def occurrences(window: MaintenanceWindow, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The occurrences of the window that overlap the time from `start` to `end`, in UTC and in order."""
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
    # Search a day more on each side: an occurrence may begin before `start`, and a change of the clocks moves it.
    week = max((start - window.ends_at) // WEEK - 1, 0)
    while True:
        shift = week * WEEK
        # A repeated hour is covered both times; a skipped hour leaves the rest.
        begins, ends = _utc(first + shift, zone, fold=0), _utc(last + shift, zone, fold=1)
        if begins >= end:
            return
        if begins < ends:
            yield begins, ends
        week += 1


def _utc(local: datetime, zone: Any, *, fold: int) -> datetime:
    """Convert a local time to UTC: a repeated one to its first or (`fold` 1) second time, a skipped one to the jump."""
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
    """A time zone by its name. UTC if this machine does not know it: no window may break a list."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def ranges(windows: Sequence[MaintenanceWindow], id: str, start: datetime, end: datetime) -> list[tuple[float, float]]:
    """The maintenance of one integration, as ranges in seconds since 1970 that may overlap."""
    return [
        (begins.timestamp(), ends.timestamp())
        for window in windows
        if window.integration_id in (None, id)
        for begins, ends in occurrences(window, start, end)
    ]


def until(windows: Sequence[MaintenanceWindow], now: datetime) -> Mapping[str | None, datetime]:
    """The integrations that are in maintenance now, and the end of it; the key None means all of them."""
    found: dict[str | None, datetime] = {}
    for window in windows:
        for begins, ends in occurrences(window, now, now + timedelta(microseconds=1)):
            if begins <= now < ends:
                key = window.integration_id
                found[key] = max(found.get(key, ends), ends)
    return found


def next_time(window: MaintenanceWindow, now: datetime) -> tuple[datetime, datetime] | None:
    """The present or next occurrence; None if the window is over."""
    return next(occurrences(window, now, max(now, window.starts_at) + WEEK * 3), None)


def overlap(new: MaintenanceWindow, others: Sequence[MaintenanceWindow]) -> MaintenanceWindow | None:
    """The first of `others` that overlaps `new` for the same integrations, or None.

    Weekly windows are compared over two years from the later start, which covers all combinations of clock changes.
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
