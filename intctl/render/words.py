"""The words of the tables: how long ago, which status, when last in sync, what stops."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from intctl.health.status import is_enabled
from intctl.probes.usage import worded
from intctl.text import clean

#: The specification's pictures, two cells wide each, and what stands for them in plain ASCII.
TYPE_ICONS = {
    "email": "📧", "sms": "📱", "calendar": "📅", "video": "🎥", "hris": "💼", "payroll": "💰",
    "background_check": "📋", "job_board": "📌", "messaging": "💬", "storage": "📦", "crm": "👥", "custom": "🔌",
}  # fmt: skip
LIGHTS = {"good": "🟢", "bad": "🔴", "care": "🟡", "none": "⚪"}
PLAIN_LIGHTS = {"good": "ok", "bad": "!!", "care": "~~", "none": "--"}

#: The times of one check in its two tables differ by less, in seconds.
_SAME_CHECK_S = 60


def ago(moment: datetime | None, now: datetime) -> str:
    """`30 sec ago`, `5 min ago`, `1 hour ago`, `2 days ago`, `never`."""
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    if seconds < 0:
        return "just now"
    for size, unit, plural in ((86400, "day", "days"), (3600, "hour", "hours"), (60, "min", "min")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit if count == 1 else plural} ago"
    return f"{seconds} sec ago"


def light(row: Mapping[str, Any]) -> str:
    """good, bad, care or none: green is only what a real exchange proved."""
    status, verdict = row["status"], row["verdict"]
    if row.get("maintenance_until") and status == "error":
        return "care"
    if status == "error":
        return "bad"
    if status != "active" or verdict == "unknown":
        return "none"
    return "good" if verdict == "healthy" else "care"


def alert_light(alert: Mapping[str, Any], *, plain: bool) -> str:
    """The mark of an alert: red for a failure, white where nobody knows."""
    name = "bad" if alert["status"] == "error" else "none"
    return (PLAIN_LIGHTS if plain else LIGHTS)[name]


def status_text(row: Mapping[str, Any]) -> str:
    """Active, Error, Disabled or Unchecked, with what else is to be known; in maintenance, until when."""
    status, verdict = row["status"], row["verdict"]
    if row.get("maintenance_until") and is_enabled(status):
        return f"In maintenance until {row['maintenance_until']:%Y-%m-%d %H:%M} UTC"
    if status == "error":
        return "Error"
    if status != "active":
        return "Disabled"
    if row["code"] == "self.not_checked":
        return "Unchecked"
    if verdict == "unknown":
        return "Unknown"
    if verdict == "degraded":
        return "Active (degraded)"
    return "Active" if verdict == "healthy" else "Active (failing)"


def maintained(row: Mapping[str, Any]) -> str:
    """What would be an alert, were it not in maintenance."""
    return f"{clean(row['name'])}: in maintenance until {row['maintenance_until']:%Y-%m-%d %H:%M} UTC, no alert"


def last_sync_text(row: Mapping[str, Any], now: datetime) -> str:
    """The last sync that was reported; where none is, the last check, marked as one."""
    if row["last_sync_error"]:
        return f"{ago(row['last_sync'], now)} (failed)" if row["last_sync"] else "failed"
    if row["last_sync"]:
        return ago(row["last_sync"], now)
    if row["verdict"] in ("down", "misconfigured"):
        return f"{ago(row['last_health_check'], now)} (check failed)"
    if row["last_success_at"]:
        return f"{ago(row['last_success_at'], now)} (check)"
    return "never"


def usage_text(usage: Mapping[str, Any] | None, now: datetime, checked_at: datetime | None = None) -> str:
    """`247 of 25,000 emails today (1 %)`, "" when nothing is known; how old it is, if older than the last check."""
    if usage is None:
        return ""
    stale = checked_at is None or (checked_at - usage["as_of"]).total_seconds() > _SAME_CHECK_S
    return clean(worded(usage)) + (f", {ago(usage['as_of'], now)}" if stale else "")


def own_limits_text(config: Mapping[str, Any] | None) -> str:
    """The sending limits that a mail config states: stated, and not measured by anybody."""
    found = []
    for key, span in (("max_emails_per_hour", "an hour"), ("max_emails_per_day", "a day")):
        limit = (config or {}).get(key)
        if isinstance(limit, int):
            found.append(f"{limit:,} {span}")
    return f"at most {', '.join(found)} by the config (what is sent is not counted here)" if found else ""


def percent(part: int, whole: int) -> str:
    """`16 (89%)`; 0 of 0 is `0`."""
    return f"{part} ({round(100 * part / whole)}%)" if whole else str(part)
