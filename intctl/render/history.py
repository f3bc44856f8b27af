"""The figures of a window of time, as columns of a table or as the page of one integration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from intctl.render.rows import Column
from intctl.render.words import usage_text
from intctl.text import clean

if TYPE_CHECKING:
    from intctl.metrics.figures import Outage, Report
    from intctl.views.figures import Figures

_BARS = "▁▂▃▄▅▆▇█"
# Down, three steps in between, up: ASCII for terminals without UTF-8.
_PLAIN_BARS = "_-=+#"


def sparkline(values: Sequence[float | None], *, plain: bool) -> str:
    """Uptimes in percent as bars, oldest first: only 100 is a full bar; a dot means unknown."""
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


def known(report: Report) -> str:
    """The known share of the counted time, rounded down so that 100 % means all of it."""
    share = report.coverage_percent
    return "-" if share is None else f"{int(share)} %"


def report_columns(*, plain: bool, target: bool) -> list[Column[Figures]]:
    """The columns of `intctl metrics`."""
    against: list[Column[Figures]] = [
        Column("Target", lambda one: _met(one.report)),
        Column("Budget left", lambda one: _budget(one.report)),
    ]
    return [
        Column("Integration", lambda one: one.report.integration),
        Column("Uptime", lambda one: _figure(one.report.uptime_percent, " %")),
        *(against if target else []),
        Column("Known", lambda one: known(one.report)),
        Column("Down", lambda one: length(one.report.down_seconds) if one.report.down_seconds else "-"),
        Column("Incidents", lambda one: len(one.report.incidents)),
        Column("Error rate", lambda one: _figure(one.report.error_rate_percent, " %")),
        Column("Average", lambda one: _figure(one.report.response_time_average_ms, " ms")),
        Column("p95", lambda one: _figure(one.report.response_time_p95_ms, " ms")),
        Column("Checks", lambda one: one.report.checks),
        Column("Uptime by time", lambda one: sparkline(one.report.history, plain=plain)),
    ]


def _met(report: Report) -> str:
    return "-" if report.target_met is None else "met" if report.target_met else "missed"


def _budget(report: Report) -> str:
    left = report.error_budget_left_seconds
    return "-" if left is None else length(left)


def usage_column(now: datetime) -> Column[Figures]:
    """The column of quota usage, as last reported by each provider."""
    return Column("Usage", lambda one: usage_text(one.usage, now) or "-")


def page(figures: Figures, zone: tzinfo, now: datetime, *, plain: bool) -> str:
    """The page of `intctl metrics NAME`; times in `zone`."""
    report, dash = figures.report, "-" if plain else "—"
    span = f"{_time(report.from_, zone)} to {_time(report.to, zone)} ({zone})"
    heading = f"{clean(report.integration)} {dash} {span}"
    lines = [heading, "=" * len(heading)]
    lines += [f"  {label:<16}{text}" for label, text in _lines(report, plain)]
    if figures.usage:
        lines.append(f"  {'Usage':<16}{usage_text(figures.usage, now)}")
    lines += ["", "Incidents"]
    lines += [f"  {line}" for one in reversed(report.incidents) for line in _incident(one, zone)]
    if not report.incidents:
        lines.append("  None.")
    return "\n".join(lines) + "\n"


def _lines(report: Report, plain: bool) -> list[tuple[str, str]]:
    down = report.down_seconds
    found = [("Uptime", _figure(report.uptime_percent, " %") + (f" (down for {length(down)})" if down else ""))]
    budget_s, left = report.error_budget_seconds, report.error_budget_left_seconds
    if budget_s is not None and left is not None:
        rest = f"{length(left)} left" if left >= 0 else f"overspent by {length(-left)}"
        budget = f"error budget {length(budget_s)}, {rest}"
        found.append(("Target", f"{report.target_percent:g} %: {_met(report)} ({budget})"))
    elif report.target_percent is not None:
        found.append(("Target", f"{report.target_percent:g} %: no known time to compare with"))
    found.append(
        (
            "Known",
            f"{known(report)} of the time that counts"
            + (f"; {length(report.unknown_seconds)} unknown" if report.unknown_seconds else ""),
        )
    )
    for label, seconds in (("Maintenance", report.maintenance_seconds), ("Not active", report.inactive_seconds)):
        if seconds:
            found.append((label, f"{length(seconds)}, not counted"))
    checks = f"{report.checks}: {report.successes} succeeded, {report.failures} failed, {report.unknown} unknown"
    found.append(("Checks", checks))
    found.append(("Error rate", _figure(report.error_rate_percent, " %")))
    if report.response_time_p50_ms is not None:
        found.append(
            (
                "Response time",
                f"{report.response_time_average_ms:g} ms on average; median "
                f"{report.response_time_p50_ms}, 95 % within {report.response_time_p95_ms}, "
                f"99 % within {report.response_time_p99_ms} ms",
            )
        )
    if report.response_time_compared is not None:
        found.append(
            (
                "Now",
                f"{report.response_time_now_ms} ms, {report.response_time_compared}: in the last 30 days, "
                f"median {report.response_time_usual_p50_ms}, 95 % within "
                f"{report.response_time_usual_p95_ms} ms",
            )
        )
    if report.mttr_seconds is not None:
        found.append(("Time to repair", f"{length(report.mttr_seconds)} on average"))
    found.append(("Uptime by time", sparkline(report.history, plain=plain)))
    if report.whole_days_before is not None:
        day = f"{report.whole_days_before:%Y-%m-%d}"
        found.append(("Note", f"checks from before {day} are deleted: their counts cover whole days (UTC)"))
    return found


def _incident(one: Outage, zone: tzinfo) -> list[str]:
    since = ("before " if one.began_before else "") + _time(one.start, zone)
    until = _time(one.end, zone) if one.end is not None else "ongoing"
    part = one.duration_seconds - one.down_seconds
    known = f"; {length(part)} of it unknown or not counted" if part > 1 else ""
    return [f"{since} to {until}: {length(one.duration_seconds)}, {clean(one.code or 'no code recorded')}{known}"]


def _time(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
