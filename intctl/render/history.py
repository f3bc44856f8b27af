"""The figures of a window of time: as columns of a table, and as the page of one integration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from intctl.render.rows import Column
from intctl.render.words import usage_text
from intctl.text import clean

Row = Mapping[str, Any]

_BARS = "▁▂▃▄▅▆▇█"
# Down, three steps between, up: what any terminal can show.
_PLAIN_BARS = "_-=+#"


def sparkline(values: Sequence[float | None], *, plain: bool) -> str:
    """Uptimes in per cent as bars, oldest first: only 100 is a full one; a dot where nothing is known."""
    bars = _PLAIN_BARS if plain else _BARS
    dot = "." if plain else "·"
    last = len(bars) - 1
    return "".join(
        dot if value is None else bars[last] if value >= 100 else bars[min(int(value / 100 * last), last - 1)]
        for value in values
    )


def length(seconds: int) -> str:
    """`45 sec`, `12 min`, `3 h 20 min`, `2 d 4 h`: the two largest units."""
    if seconds < 0:
        return f"-{length(-seconds)}"
    if seconds < 120:
        return f"{seconds} sec"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    hours = round(minutes / 60)
    return f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")


def _figure(value: object, unit: str) -> str:
    return "-" if value is None else f"{value:g}{unit}" if isinstance(value, float) else f"{value}{unit}"


def known(row: Row) -> str:
    """How much of the time that counts is known; whole per cents, of which 100 is all."""
    share = row["coverage_percent"]
    return "-" if share is None else f"{int(share)} %"


def report_columns(*, plain: bool, target: bool) -> list[Column]:
    """The columns of `intctl metrics`."""
    against = [Column("Target", _met), Column("Budget left", _budget)]
    return [
        Column("Integration", lambda row: row["integration"]),
        Column("Uptime", lambda row: _figure(row["uptime_percent"], " %")),
        *(against if target else []),
        Column("Known", known),
        Column("Down", lambda row: length(row["down_seconds"]) if row["down_seconds"] else "-"),
        Column("Incidents", lambda row: len(row["incidents"])),
        Column("Error rate", lambda row: _figure(row["error_rate_percent"], " %")),
        Column("Average", lambda row: _figure(row["response_time_average_ms"], " ms")),
        Column("p95", lambda row: _figure(row["response_time_p95_ms"], " ms")),
        Column("Checks", lambda row: row["checks"]),
        Column("Uptime by time", lambda row: sparkline(row["history"], plain=plain)),
    ]


def _met(row: Row) -> str:
    return "-" if row["target_met"] is None else "met" if row["target_met"] else "missed"


def _budget(row: Row) -> str:
    left = row["error_budget_left_seconds"]
    return "-" if left is None else length(left)


def usage_column(now: datetime) -> Column:
    """What the providers told last of the use of their quotas."""
    return Column("Usage", lambda row: usage_text(row["usage"], now) or "-")


def page(row: Row, zone: tzinfo, now: datetime, *, plain: bool) -> str:
    """The page of `intctl metrics NAME`; times in `zone`."""
    dash = "-" if plain else "—"
    span = f"{_time(row['from'], zone)} to {_time(row['to'], zone)} ({zone})"
    heading = f"{clean(row['integration'])} {dash} {span}"
    lines = [heading, "=" * len(heading)]
    lines += [f"  {label:<16}{text}" for label, text in _lines(row, plain)]
    if row["usage"]:
        lines.append(f"  {'Usage':<16}{usage_text(row['usage'], now)}")
    lines += ["", "Incidents"]
    lines += [f"  {line}" for one in reversed(row["incidents"]) for line in _incident(one, zone)]
    if not row["incidents"]:
        lines.append("  None.")
    return "\n".join(lines) + "\n"


def _lines(row: Row, plain: bool) -> list[tuple[str, str]]:
    down = row["down_seconds"]
    found = [("Uptime", _figure(row["uptime_percent"], " %") + (f" (down for {length(down)})" if down else ""))]
    if row["target_met"] is not None:
        left = row["error_budget_left_seconds"]
        rest = f"{length(left)} left" if left >= 0 else f"overspent by {length(-left)}"
        budget = f"{length(row['error_budget_seconds'])} may fail, {rest}"
        found.append(("Target", f"{row['target_percent']:g} %: {_met(row)} ({budget})"))
    elif row["target_percent"] is not None:
        found.append(("Target", f"{row['target_percent']:g} %: nothing is known to hold against it"))
    found.append(
        (
            "Known",
            f"{known(row)} of the time that counts"
            + (f"; nobody knows about {length(row['unknown_seconds'])}" if row["unknown_seconds"] else ""),
        )
    )
    for label, key in (("Maintenance", "maintenance_seconds"), ("Not active", "inactive_seconds")):
        if row[key]:
            found.append((label, f"{length(row[key])}, which does not count"))
    checks = f"{row['checks']}: {row['successes']} good, {row['failures']} failed, {row['unknown']} unknown"
    found.append(("Checks", checks))
    found.append(("Error rate", _figure(row["error_rate_percent"], " %")))
    if row["response_time_p50_ms"] is not None:
        found.append(
            (
                "Response time",
                f"{row['response_time_average_ms']:g} ms on average; half within "
                f"{row['response_time_p50_ms']}, 95 % within {row['response_time_p95_ms']}, "
                f"99 % within {row['response_time_p99_ms']} ms",
            )
        )
    if row["response_time_compared"] is not None:
        found.append(
            (
                "Now",
                f"{row['response_time_now_ms']} ms, {row['response_time_compared']}: its last 30 days "
                f"were half within {row['response_time_usual_p50_ms']}, 95 % within "
                f"{row['response_time_usual_p95_ms']} ms",
            )
        )
    if row["mttr_seconds"] is not None:
        found.append(("Time to repair", f"{length(row['mttr_seconds'])} on average"))
    found.append(("Uptime by time", sparkline(row["history"], plain=plain)))
    if row["whole_days_before"] is not None:
        day = f"{row['whole_days_before']:%Y-%m-%d}"
        found.append(("Note", f"checks from before {day} are deleted: their counts are of whole days (UTC)"))
    return found


def _incident(one: Row, zone: tzinfo) -> list[str]:
    since = ("before " if one["began_before"] else "") + _time(one["start"], zone)
    until = _time(one["end"], zone) if one["end"] is not None else "not over"
    part = one["duration_seconds"] - one["down_seconds"]
    known = f"; {length(part)} of it unknown or not counted" if part > 1 else ""
    return [f"{since} to {until}: {length(one['duration_seconds'])}, {one['code'] or 'no code recorded'}{known}"]


def _time(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
