"""From checks to time: up, down, or unknown.

Moments are seconds since 1970 in UTC, so that no time zone and no clock change affects the arithmetic. A timeline
lists only known time: the time outside its segments is unknown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

UP, DOWN = "up", "down"

#: How many intervals the finding of a check holds, unless another check comes sooner.
HOLD_INTERVALS = 2
#: The time between two failures that are no further apart counts as down: intctl checks a failing integration less
#: often, down to once an hour.
BETWEEN_FAILURES_S = 7200.0
#: The longest that the finding of any check can hold (an interval is an hour at most).
LONGEST_HOLD_S = 7200.0

_STATE = {"success": UP, "failure": DOWN}
# Of several checks at one moment, a failure counts before a success.
_RANK = {"failure": 2, "success": 1}

#: Disjoint (start, end) in order.
Ranges = Sequence[tuple[float, float]]


class Check(NamedTuple):
    """One recorded check: `status` as in the log, `code` where it failed."""

    at: float
    status: str
    code: str = ""


class Change(NamedTuple):
    """The state from `at` on: whether the integration was enabled, its interval, and its config version."""

    at: float
    enabled: bool
    interval_s: float
    config_version: int


class Segment(NamedTuple):
    """A range from `start` to `end` that was UP or DOWN; `cause` is the code of the first failure."""

    start: float
    end: float
    state: str
    cause: str = ""


class Incident(NamedTuple):
    """An outage from `start` until `end` (None: not over); `down_s` is its known time that counts, in seconds."""

    start: float
    end: float | None
    cause: str
    down_s: float
    before: bool  # it began before the window did


def states(checks: Iterable[Check], changes: Sequence[Change], interval_s: float, until: float) -> list[Segment]:
    """The known time according to `checks`, up to `until`. They may come in any order.

    `changes` are in order of time; `interval_s` is the interval before the first of them.
    """
    found: list[Segment] = []
    breaks = [*(moment for moment in _breaks(changes) if moment < until), until]
    starts = [change.at for change in changes]
    for check, following_at, following_status in _followed(checks):
        at, status, code = check
        state = _STATE.get(status)
        if state is None or at >= until:
            continue
        interval = changes[max(bisect_right(starts, at) - 1, 0)].interval_s if changes else interval_s
        hold = HOLD_INTERVALS * interval
        if status == following_status == "failure" and following_at - at <= BETWEEN_FAILURES_S:
            hold = BETWEEN_FAILURES_S
        end = min(following_at, at + hold, breaks[bisect_right(breaks, at)])
        if found and found[-1].end == at and found[-1].state == state:
            found[-1] = Segment(found[-1].start, end, state, found[-1].cause)
        else:
            found.append(Segment(at, end, state, code if state == DOWN else ""))
    return found


def _followed(checks: Iterable[Check]) -> Iterator[tuple[Check, float, str]]:
    """Each check in order of time, with time and status of the next one; of several at one moment, the gravest."""
    current: Check | None = None
    for check in sorted(checks):
        if current is not None:
            if check.at == current.at:
                current = max(current, check, key=lambda one: _RANK.get(one.status, 0))
                continue
            yield current, check.at, check.status
        current = check
    if current is not None:
        yield current, inf, ""


def _breaks(changes: Sequence[Change]) -> list[float]:
    """The moments at which earlier findings stop to apply: another config, disabled, or enabled."""
    return [
        now.at
        for before, now in pairwise(changes)
        if (before.enabled, before.config_version) != (now.enabled, now.config_version)
    ]


def _append(segments: list[Segment], new: Segment) -> None:
    """Add `new`; join it with the last segment if it only extends it."""
    if new.end <= new.start:
        return
    if segments and segments[-1].end == new.start and segments[-1].state == new.state:
        segments[-1] = Segment(segments[-1].start, new.end, new.state, segments[-1].cause)
    else:
        segments.append(new)


def clipped(segments: Iterable[Segment], start: float, end: float) -> list[Segment]:
    """The parts of `segments` between `start` and `end`; adjacent equal ones are joined."""
    found: list[Segment] = []
    for begins, ends, state, cause in segments:
        _append(found, Segment(max(begins, start), min(ends, end), state, cause))
    return found


def inactive(changes: Sequence[Change], start: float, end: float) -> list[tuple[float, float]]:
    """The time in which it was disabled or deleted. Before the first recorded change, it counts as enabled."""
    ends = [*(change.at for change in changes[1:]), end]
    off = [
        (max(change.at, start), min(until, end))
        for change, until in zip(changes, ends, strict=False)
        if not change.enabled
    ]
    return union(off)


def union(ranges: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same time as disjoint ranges in order."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(ranges):
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def without(start: float, end: float, excluded: Ranges) -> list[tuple[float, float]]:
    """The rest of a range without `excluded`."""
    left: list[tuple[float, float]] = []
    for off, on in excluded:
        if on <= start:
            continue
        if off >= end:
            break
        if off > start:
            left.append((start, off))
        start = on
    if start < end:
        left.append((start, end))
    return left


def total(ranges: Iterable[tuple[float, float]]) -> float:
    """The total length of ranges, in seconds."""
    return sum(end - start for start, end in ranges)


def counted(segments: Iterable[Segment], excluded: Ranges) -> list[Segment]:
    """`segments` without the time that does not count."""
    return [
        Segment(start, end, segment.state, segment.cause)
        for segment in segments
        for start, end in without(segment.start, segment.end, excluded)
    ]


def incidents(segments: Sequence[Segment], off: Ranges, excluded: Ranges, start: float) -> list[Incident]:
    """The outages, oldest first.

    Each lasts from its first failure that counts to the first success, or to the moment (in `off`) at which checks
    stopped. Unknown time in between ends none.
    """
    found: list[Incident] = []
    current: Incident | None = None
    stops = iter([began for began, _ in off])
    stop = next(stops, None)
    for segment in segments:
        while stop is not None and stop <= segment.start:
            if current is not None and stop > current.start:
                found.append(current._replace(end=stop))
                current = None
            stop = next(stops, None)
        if segment.state == UP:
            if current is not None:
                found.append(current._replace(end=segment.start))
                current = None
            continue
        for begin, end in without(segment.start, segment.end, excluded):
            if current is None:
                current = Incident(begin, None, segment.cause, 0.0, segment.start <= start and begin == start)
            current = current._replace(down_s=current.down_s + end - begin)
    if current is not None:
        ended = next((began for began, _ in off if began > current.start), None)
        found.append(current._replace(end=ended))
    return found
