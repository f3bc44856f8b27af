"""The dashboard: health overview, critical alerts, all integrations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from intctl.render.rows import Column, as_table
from intctl.render.words import (
    LIGHTS,
    PLAIN_LIGHTS,
    TYPE_ICONS,
    ago,
    alert_light,
    last_sync_text,
    light,
    maintained,
    percent,
    status_text,
    usage_text,
)
from intctl.text import clean, rfc3339
from intctl.views.steps import quoted
from intctl.views.titles import title

if TYPE_CHECKING:
    from intctl.store.stats import Stats
    from intctl.views.alerts import Alert
    from intctl.views.maintenance import Listed
    from intctl.views.overview import Overview

# An icon is two cells wide but one character long: two placeholder characters keep the columns aligned.
_STAND_INS = 0x2801


class _Pictures:
    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self._used: dict[str, str] = {}

    def light(self, name: str) -> str:
        return PLAIN_LIGHTS[name] if self._plain else self._stand_in(LIGHTS[name])

    def type(self, name: str) -> str:
        return "" if self._plain else self._stand_in(TYPE_ICONS.get(name, TYPE_ICONS["custom"])) + " "

    def _stand_in(self, picture: str) -> str:
        self._used.setdefault(picture, chr(_STAND_INS + len(self._used)) * 2)
        return self._used[picture]

    def put(self, text: str) -> str:
        for picture, stand_in in self._used.items():
            text = text.replace(stand_in, picture)
        return text


def numbers(stats: Stats) -> str:
    """The table of the four counts, with percentages."""
    columns: list[Column[Stats]] = [
        Column("Total", lambda stats: str(stats.total)),
        Column("Active", lambda stats: percent(stats.active, stats.total)),
        Column("Errors", lambda stats: percent(stats.error, stats.total)),
        Column("Disabled", lambda stats: percent(stats.disabled, stats.total)),
    ]
    return as_table([stats], columns, None)


def alert_lines(alert: Alert, now: datetime, mark: str) -> list[str]:
    """The lines of one alert: failure, impact, cause, next step and next command."""
    return [
        f"{mark} {clean(alert.name)}: {clean(alert.message, 300)} ({ago(alert.since, now)})",
        f"   Impact: {clean(alert.impact)}",
        f"   Cause:  {clean(alert.code) or 'not recorded'}",
        f"   Next:   {clean(alert.next_step)}",
        f"   Run:    {clean(alert.command)}   or: intctl logs {quoted(alert.name)}",
    ]


def dashboard_page(view: Overview, *, width: int | None, plain: bool) -> str:
    """The page of the dashboard. `plain` is for terminals without UTF-8.

    The usage of an integration, if known, is a line below it.
    """
    pictures = _Pictures(plain)
    dash, now = "-" if plain else "—", view.now
    lines = [
        f"Integrations Dashboard {dash} {clean(view.organisation)} {dash} {rfc3339(now)[:19].replace('T', ' ')} UTC",
        "",
    ]
    lines += ["HEALTH OVERVIEW", numbers(view.stats)]
    lines.append("CRITICAL ALERTS")
    quiet = [alert for alert in view.alerts if alert.maintenance_until]
    for alert in view.alerts:
        if alert not in quiet:
            lines += [*alert_lines(alert, now, alert_light(alert, plain=plain)), ""]
    lines += [line for alert in quiet for line in (maintained(alert), "")]
    if not view.alerts:
        lines += ["None: nothing is in error.", ""]
    lines.append("ALL INTEGRATIONS")
    return pictures.put("\n".join(lines) + "\n" + _integrations(view, pictures, width))


def _integrations(view: Overview, pictures: _Pictures, width: int | None) -> str:
    if not view.integrations:
        return "None yet. Add one: intctl add smtp -f smtp.yaml\n"
    columns: list[Column[Listed]] = [
        Column("Integration", lambda row: pictures.type(row.integration.type) + row.integration.name),
        Column("Provider", lambda row: title(row.integration.provider)),
        Column("Status", lambda row: _status(row, pictures)),
        Column("Last Sync", lambda row: last_sync_text(row.integration, view.now)),
    ]
    return _with_usages(as_table(view.integrations, columns, width), view, width)


def _status(row: Listed, pictures: _Pictures) -> str:
    one, until = row.integration, row.maintenance_until
    return f"{pictures.light(light(one, until))} {status_text(one, until)}"


def _with_usages(table: str, view: Overview, width: int | None) -> str:
    """Insert a line below each integration whose usage is known. Each table row is one line."""
    lines = table.splitlines()
    heading = len(lines) - len(view.integrations)
    for place, row in reversed(list(enumerate(view.integrations, heading + 1))):
        usage = view.usages.get(row.integration.id)
        if said := usage_text(usage, view.now, row.integration.last_health_check):
            lines.insert(place, f"   Usage: {said}"[: width or None])
    return "\n".join(lines) + "\n"
