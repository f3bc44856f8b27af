"""The texts of table cells: ages, statuses, syncs and usage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from intctl.health.status import is_enabled
from intctl.text import clean

if TYPE_CHECKING:
    from intctl.store.integrations import Integration
    from intctl.store.usages import Usage
    from intctl.views.alerts import Alert

#: The icons of the specification, two cells wide each, and their ASCII replacements.
TYPE_ICONS = {
    "email": "📧", "sms": "📱", "calendar": "📅", "video": "🎥", "hris": "💼", "payroll": "💰",
    "background_check": "📋", "job_board": "📌", "messaging": "💬", "storage": "📦", "crm": "👥", "custom": "🔌",
}  # fmt: skip
LIGHTS = {"good": "🟢", "bad": "🔴", "care": "🟡", "none": "⚪"}
PLAIN_LIGHTS = {"good": "ok", "bad": "!!", "care": "~~", "none": "--"}

#: The two times that are recorded for one check differ by less than this, in seconds.
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


def light(integration: Integration, maintenance_until: datetime | None = None) -> str:
    """The light: good, bad, care or none. Only a successful exchange gives good, which is green."""
    status, verdict = integration.status, integration.verdict
    if maintenance_until and status == "error":
        return "care"
    if status == "error":
        return "bad"
    if status != "active" or verdict == "unknown":
        return "none"
    return "good" if verdict == "healthy" else "care"


def alert_light(alert: Alert, *, plain: bool) -> str:
    """The mark of an alert: red for a failure, white where the state is not known."""
    name = "bad" if alert.status == "error" else "none"
    return (PLAIN_LIGHTS if plain else LIGHTS)[name]


def status_text(integration: Integration, maintenance_until: datetime | None = None) -> str:
    """The status (Active, Error, Disabled, Unchecked, Unknown), or the end of the maintenance."""
    status, verdict = integration.status, integration.verdict
    if maintenance_until and is_enabled(status):
        return f"In maintenance until {maintenance_until:%Y-%m-%d %H:%M} UTC"
    if status == "error":
        return "Error"
    if status != "active":
        return "Disabled"
    if integration.code == "self.not_checked":
        return "Unchecked"
    if verdict == "unknown":
        return "Unknown"
    if verdict == "degraded":
        return "Active (degraded)"
    return "Active" if verdict == "healthy" else "Active (failing)"


def maintained(alert: Alert) -> str:
    """The line of an alert that maintenance suppresses."""
    return f"{clean(alert.name)}: in maintenance until {alert.maintenance_until:%Y-%m-%d %H:%M} UTC, no alert"


def last_sync_text(integration: Integration, now: datetime) -> str:
    """The last reported sync, or else the last check, marked as a check."""
    if integration.last_sync_error:
        return f"{ago(integration.last_sync, now)} (failed)" if integration.last_sync else "failed"
    if integration.last_sync:
        return ago(integration.last_sync, now)
    if integration.verdict in ("down", "misconfigured"):
        return f"{ago(integration.last_health_check, now)} (check failed)"
    if integration.last_success_at:
        return f"{ago(integration.last_success_at, now)} (check)"
    return "never"


def usage_text(usage: Usage | None, now: datetime, checked_at: datetime | None = None) -> str:
    """`247 of 25,000 emails today (1 %)`, with its age if older than the last check; "" if unknown."""
    if usage is None:
        return ""
    stale = checked_at is None or (checked_at - usage.as_of).total_seconds() > _SAME_CHECK_S
    return clean(usage.text) + (f", {ago(usage.as_of, now)}" if stale else "")


def own_limits_text(config: Mapping[str, object] | None) -> str:
    """The sending limits of a mail config. intctl does not measure them."""
    found = []
    for key, span in (("max_emails_per_hour", "per hour"), ("max_emails_per_day", "per day")):
        limit = (config or {}).get(key)
        if isinstance(limit, int):
            found.append(f"{limit:,} {span}")
    return f"at most {', '.join(found)} by the config (intctl does not count sent mail)" if found else ""


def percent(part: int, whole: int) -> str:
    """`16 (89%)`; 0 of 0 is `0`."""
    return f"{part} ({round(100 * part / whole)}%)" if whole else str(part)
