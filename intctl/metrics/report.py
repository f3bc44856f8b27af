"""The figures of a window of time: uptime, response times, errors, incidents. See docs/metrics.md.

Folded time comes from the days; the rest (the newest hours, and the parts of days at the edges of the window)
comes from the checks themselves.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from intctl.db.connect import Database
from intctl.health.status import interval_minutes
from intctl.metrics import maintenance
from intctl.metrics.figures import Outage, Report
from intctl.metrics.percentiles import percentiles, unpacked
from intctl.metrics.retention import changes_of
from intctl.metrics.timeline import (
    BETWEEN_FAILURES_S,
    DOWN,
    LONGEST_HOLD_S,
    UP,
    Change,
    Check,
    Incident,
    Segment,
    clipped,
    counted,
    inactive,
    incidents,
    states,
    total,
    union,
    without,
)
from intctl.store import clock, history
from intctl.store.history import DAY_S, Logged, Member
from intctl.store.maintenance import windows

#: The named windows, and the number of parts in which their history is displayed.
WINDOWS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90)}
_PARTS = {"24h": 24, "7d": 28}
PARTS = 30

#: The base that response times are compared with: its length in days, and the successes that it needs.
USUAL_DAYS = 30
_USUAL_LEAST = 20
#: How many of the newest successes give the present response time: at most, at least.
_NOW_MOST, _NOW_LEAST = 5, 3


@dataclass(frozen=True, slots=True)
class Window:
    """The start and end of a window, and the present time, in seconds since 1970."""

    name: str
    start: float
    end: float
    now: float
    start_at: datetime
    end_at: datetime

    @classmethod
    def of(cls, name: str, start: datetime, end: datetime, now: datetime) -> Window:
        """Make a window that ends now at the latest."""
        end = min(end, now)
        return cls(name, start.timestamp(), end.timestamp(), now.timestamp(), start, end)

    @property
    def usual_from(self) -> float | None:
        """The start of the base for comparing response times; None if the window ends before now."""
        return self.now - USUAL_DAYS * DAY_S if self.end == self.now else None


@dataclass(slots=True)
class _Figures:
    """The values read for one integration: times in milliseconds, in order."""

    successes: int = 0
    failures: int = 0
    unknowns: int = 0
    response_ms: int = 0
    times: list[int] = field(default_factory=list)
    usual: list[int] = field(default_factory=list)
    newest: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    first: float | None = None
    whole_days_before: float | None = None


def metrics(
    database: Database, org_id: str, window: Window, *, id: str | None = None, target: float | None = None
) -> list[Report]:
    """The report of each living integration, or of one, by name."""
    planned = windows(database, org_id)
    members = history.members(database, org_id, id)
    border = history.folded_before(database) or 0.0
    found = []
    for place in range(0, len(members), history.CHUNK):
        chunk = members[place : place + history.CHUNK]
        ids = [member.id for member in chunk]
        changes = changes_of(database, ids)
        figures = _read(database, chunk, changes, window, border)
        for member in chunk:
            known, read = changes.get(member.id, []), figures[member.id]
            off = _not_there(member, known, read, window)
            down = maintenance.ranges(planned, member.id, window.start_at, window.end_at)
            found.append(_report(member, read, off, union(down), window, target))
    return found


def of_day(database: Database, org_id: str, id: str) -> Report:
    """The report of one integration over the last 24 hours."""
    now = clock.now(database)
    return metrics(database, org_id, Window.of("24h", now - WINDOWS["24h"], now, now), id=id)[0]


# --- reading -------------------------------------------------------------------------------------


def _read(
    database: Database,
    members: Sequence[Member],
    changes: Mapping[str, Sequence[Change]],
    window: Window,
    border: float,
) -> dict[str, _Figures]:
    """Read the figures of the integrations. `border`: all days before it are folded."""
    figures = {member.id: _Figures() for member in members}
    ids = list(figures)
    first, last = -(-window.start // DAY_S) * DAY_S, window.end // DAY_S * DAY_S
    folded = history.folded(
        database, ids, window.start // DAY_S * DAY_S, min(window.end, border), first=first, last=min(last, border)
    )
    gone = {id: one.gone for id, one in folded.items()}
    counts: dict[str, list[history.Counts]] = {id: [one.counts] for id, one in folded.items()}
    # The parts of folded days at the edges of the window, and unfolded time, are counted check by check.
    edges = union([(window.start, min(first, window.end, border)), (max(last, window.start), min(window.end, border))])
    for start, end in edges:
        there = [id for id in ids if start // DAY_S * DAY_S not in gone.get(id, ())]
        for id, one in history.counted(database, there, start, end).items():
            counts.setdefault(id, []).append(one)
    for id, one in history.counted(database, ids, max(border, window.start), window.end).items():
        counts.setdefault(id, []).append(one)
    for id, found in figures.items():
        _sum(found, counts.get(id, ()))
        if id in folded:
            found.segments = _segments(folded[id].timeline)
            found.whole_days_before = max(folded[id].gone, default=-DAY_S) + DAY_S or None
    _read_usual(database, window, border, figures)
    _read_newest(database, members, changes, window, border, figures)
    return figures


def _sum(figures: _Figures, counts: Sequence[history.Counts]) -> None:
    for one in counts:
        figures.successes += one.successes
        figures.failures += one.failures
        figures.unknowns += one.unknowns
        figures.response_ms += one.response_ms
    figures.times = unpacked("".join(one.response_times for one in counts))


def _segments(text: str) -> list[Segment]:
    """Parse the timeline of folded days: a line for each, in any order."""
    found: list[Segment] = []
    for line in sorted(text.split("\n")):
        day, _, document = line.partition(" ")
        start = float(day)
        if document:
            parts = json.loads(document)
            found += [Segment(start + since / 1000, start + until / 1000, *rest) for since, until, *rest in parts]
        elif found and found[-1].end == start and found[-1].state == UP:
            found[-1] = Segment(found[-1].start, start + DAY_S, UP)
        else:
            found.append(Segment(start, start + DAY_S, UP))
    return found


def _read_usual(database: Database, window: Window, border: float, figures: Mapping[str, _Figures]) -> None:
    """Read the response times that the present ones are compared with."""
    since = window.usual_from
    if since is None:
        return
    if since == window.start:
        for found in figures.values():
            found.usual = found.times
        return
    ids = list(figures)
    first = -(-since // DAY_S) * DAY_S
    packed: dict[str, str] = defaultdict(str)
    for id, days in history.folded(database, ids, first, border, first=first, last=border).items():
        packed[id] += days.counts.response_times
    for id, counts in history.counted(database, ids, max(border, since), window.end).items():
        packed[id] += counts.response_times
    for id, text in packed.items():
        figures[id].usual = unpacked(text)


def _read_newest(
    database: Database,
    members: Sequence[Member],
    changes: Mapping[str, Sequence[Change]],
    window: Window,
    border: float,
    figures: Mapping[str, _Figures],
) -> None:
    """Read the unfolded time, check by check. Checks with a time in the future do not count."""
    if window.end <= border:
        return
    ids = [member.id for member in members]
    start = max(border, window.start) - LONGEST_HOLD_S
    end = min(window.end + BETWEEN_FAILURES_S, window.now + 0.001)
    by_id: dict[str, list[Logged]] = defaultdict(list)
    there = history.logged(database, ids, start, end)
    causes = history.causes(database, there)
    for log in there:
        by_id[log[0]].append(log)
    for member in members:
        id, found = member.id, figures[member.id]
        logs = by_id.get(id, [])
        checks = [Check(at, status, causes.get((id, at), "") if causes else "") for _, at, status, _ in logs]
        checks.sort()
        found.first = next((check.at for check in checks if check.at >= window.start), None)
        if window.usual_from is not None:
            good = [(at, ms) for _, at, status, ms in logs if status == "success" and ms is not None]
            found.newest = [ms for _, ms in sorted(good)[-_NOW_MOST:]]
        interval_s = interval_minutes(member.health_check_interval_minutes) * 60.0
        known = states(checks, changes.get(id, ()), interval_s, window.end)
        found.segments += clipped(known, max(border, window.start), window.end)


def _not_there(
    member: Member, changes: Sequence[Change], figures: _Figures, window: Window
) -> list[tuple[float, float]]:
    """The time in which the integration was disabled, deleted, or not yet created: it does not count."""
    off = inactive(changes, window.start, window.end)
    if member.created_at is not None:
        born = member.created_at.timestamp()
        # An earlier check proves that the integration existed: the row was created elsewhere.
        known = [figures.first, *(segment.start for segment in figures.segments[:1])]
        off.append((window.start, min([born, *(moment for moment in known if moment is not None)])))
    return union(off)


# --- the report ----------------------------------------------------------------------------------


def _report(
    member: Member,
    figures: _Figures,
    off: Sequence[tuple[float, float]],
    down: Sequence[tuple[float, float]],
    window: Window,
    target: float | None,
) -> Report:
    segments = clipped(figures.segments, window.start, window.end)
    excluded = union([*off, *down])
    excluded = [(max(start, window.start), min(end, window.end)) for start, end in excluded]
    counting = without(window.start, window.end, excluded)
    known = counted(segments, excluded)
    up_s = sum(one.end - one.start for one in known if one.state == UP)
    down_s = sum(one.end - one.start for one in known if one.state == DOWN)
    counting_s, inactive_s = total(counting), total(union((max(a, window.start), min(b, window.end)) for a, b in off))
    judged = figures.successes + figures.failures
    p50, p95, p99 = percentiles(figures.times, (50, 95, 99))
    timed = len(figures.times)
    outages = incidents(segments, off, excluded, window.start)
    now, usual_p50, usual_p95, compared = _compared(figures)
    met, budget, left = _against(target, up_s, down_s)
    return Report(
        integration=member.name,
        id=member.id,
        window=window.name,
        checks=judged + figures.unknowns,
        successes=figures.successes,
        failures=figures.failures,
        unknown=figures.unknowns,
        uptime_percent=_share(up_s, up_s + down_s),
        error_rate_percent=round(100 * figures.failures / judged, 2) if judged else None,
        response_time_average_ms=round(figures.response_ms / timed, 1) if timed else None,
        response_time_p95_ms=p95,
        from_=window.start_at,
        to=window.end_at,
        coverage_percent=_share(up_s + down_s, counting_s),
        up_seconds=round(up_s),
        down_seconds=round(down_s),
        unknown_seconds=round(max(counting_s - up_s - down_s, 0)),
        maintenance_seconds=round(window.end - window.start - counting_s - inactive_s),
        inactive_seconds=round(inactive_s),
        response_time_p50_ms=p50,
        response_time_p99_ms=p99,
        response_time_now_ms=now,
        response_time_usual_p50_ms=usual_p50,
        response_time_usual_p95_ms=usual_p95,
        response_time_compared=compared,
        incidents=[_outage(one, window) for one in outages],
        mttr_seconds=_mean([one.end - one.start for one in outages if one.end is not None]),
        history=_parts(known, window),
        whole_days_before=history.time_at(figures.whole_days_before) if figures.whole_days_before else None,
        target_percent=target,
        target_met=met,
        error_budget_seconds=budget,
        error_budget_left_seconds=left,
    )


def _share(part: float, whole: float) -> float | None:
    """The share in per cent, truncated to three decimal places: 99.9999 is not 100."""
    return min(int(100_000 * part / whole + 1e-6) / 1000, 100.0) if whole > 0 else None


def _mean(values: Sequence[float]) -> int | None:
    return round(sum(values) / len(values)) if values else None


def _outage(one: Incident, window: Window) -> Outage:
    return Outage(
        start=history.time_at(one.start),
        end=history.time_at(one.end) if one.end is not None else None,
        code=one.cause,
        duration_seconds=round((one.end if one.end is not None else window.end) - one.start),
        down_seconds=round(one.down_s),
        began_before=one.before,
    )


def _compared(figures: _Figures) -> tuple[int | None, int | None, int | None, str | None]:
    """The newest response time, the usual median and 95th percentile, and how they compare."""
    newest = sorted(figures.newest)
    now = newest[len(newest) // 2] if len(newest) >= _NOW_LEAST else None
    p50, p95 = percentiles(figures.usual, (50, 95)) if len(figures.usual) >= _USUAL_LEAST else (None, None)
    compared = None
    if now is not None and p50 is not None and p95 is not None:
        compared = "as usual"
        if now > p95:
            compared = "much slower than usual" if now > 2 * p95 else "slower than usual"
        elif 2 * now < p50:
            compared = "faster than usual"
    return now, p50, p95, compared


def _against(target: float | None, up_s: float, down_s: float) -> tuple[bool | None, int | None, int | None]:
    """Whether the target is met, how many seconds of the known time may fail, and how many of those are left."""
    known_s = up_s + down_s
    if target is None or not known_s:
        return None, None, None
    budget = known_s * (100 - target) / 100
    return down_s <= budget + 1e-6, round(budget), round(budget - down_s)


def _parts(known: Iterable[Segment], window: Window) -> list[float | None]:
    """The uptime of equal parts of the window, oldest first; None where nothing is known."""
    number = _PARTS.get(window.name, PARTS)
    length = (window.end - window.start) / number
    up, down = [0.0] * number, [0.0] * number
    if length <= 0:
        return []
    for one in known:
        to = up if one.state == UP else down
        place = min(int((one.start - window.start) / length), number - 1)
        start = one.start
        while start < one.end and place < number:
            end = one.end if place == number - 1 else min(one.end, window.start + (place + 1) * length)
            to[place] += max(end - start, 0)
            start, place = max(end, start), place + 1
    return [_share(good, good + bad) for good, bad in zip(up, down, strict=True)]
