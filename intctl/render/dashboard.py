"""The dashboard: health overview, critical alerts, all integrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

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

Row = Mapping[str, Any]

# A picture is two cells wide but one character long: two stand-ins keep the columns straight.
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


def overview(counts: Mapping[str, int]) -> str:
    """The four numbers, with percentages."""
    total = counts["total"]
    shown = {"total": str(total), **{key: percent(counts[key], total) for key in ("active", "error", "disabled")}}
    columns = [
        Column("Total", lambda row: row["total"]),
        Column("Active", lambda row: row["active"]),
        Column("Errors", lambda row: row["error"]),
        Column("Disabled", lambda row: row["disabled"]),
    ]
    return as_table([shown], columns, None)


def alert_lines(alert: Row, now: datetime, mark: str) -> list[str]:
    """One alert: what fails since when, what stops, why, and what to type next."""
    return [
        f"{mark} {clean(alert['name'])}: {clean(alert['message'], 300)} ({ago(alert['since_at'], now)})",
        f"   Impact: {alert['impact']}",
        f"   Cause:  {alert['code'] or 'not recorded'}",
        f"   Next:   {alert['next_step']}",
        f"   Type:   {alert['command']}   or: intctl logs {quoted(alert['name'])}",
    ]


def dashboard_page(
    counts: Mapping[str, int],
    alerts: Sequence[Row],
    rows: Sequence[Row],
    *,
    organisation: str,
    now: datetime,
    width: int | None,
    plain: bool,
    titles: Mapping[str, str],
    usages: Mapping[str, Row] | None = None,
) -> str:
    """The three panels of the specification. `plain` is for terminals without UTF-8.

    `usages` are those known, by integration; each stands under its integration.
    """
    pictures = _Pictures(plain)
    dash = "-" if plain else "—"
    lines = [
        f"Integrations Dashboard {dash} {clean(organisation)} {dash} {rfc3339(now)[:19].replace('T', ' ')} UTC",
        "",
    ]
    lines += ["HEALTH OVERVIEW", overview(counts)]
    lines.append("CRITICAL ALERTS")
    quiet = [alert for alert in alerts if alert.get("maintenance_until")]
    for alert in alerts:
        if alert not in quiet:
            lines += [*alert_lines(alert, now, alert_light(alert, plain=plain)), ""]
    lines += [line for alert in quiet for line in (maintained(alert), "")]
    if not alerts:
        lines += ["None: nothing is in error.", ""]
    lines.append("ALL INTEGRATIONS")
    columns = [
        Column("Integration", lambda row: pictures.type(row["type"]) + row["name"]),
        Column("Provider", lambda row: titles.get(row["provider"], row["provider"])),
        Column("Status", lambda row: f"{pictures.light(light(row))} {status_text(row)}"),
        Column("Last Sync", lambda row: last_sync_text(row, now)),
    ]
    body = as_table(rows, columns, width) if rows else "None yet. Add one: intctl add smtp -f smtp.yaml\n"
    body = _with_usages(body, rows, usages or {}, now, width)
    return pictures.put("\n".join(lines) + "\n" + body)


def _with_usages(table: str, rows: Sequence[Row], usages: Mapping[str, Row], now: datetime, width: int | None) -> str:
    """The table with a line under each integration whose usage is known. Each row of it is one line."""
    lines = table.splitlines()
    heading = len(lines) - len(rows)
    for place, row in reversed(list(enumerate(rows, heading + 1))):
        if said := usage_text(usages.get(row["id"]), now, row["last_health_check"]):
            lines.insert(place, f"   Usage: {said}"[: width or None])
    return "\n".join(lines) + "\n"
