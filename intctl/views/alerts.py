"""Alerts: the failure and its start, the impact, the cause and the next step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from intctl.db.connect import Database
from intctl.health.codes import CODES
from intctl.health.status import Verdict
from intctl.store import alerts as store
from intctl.store import clock
from intctl.store.alerts import OpenAlert
from intctl.views.maintenance import maintenance_ends, maintenance_until
from intctl.views.steps import edit_command, fields_of, next_step, quoted

#: What stops when an integration of a type fails, for `alerts`.
IMPACT: dict[str, str] = {
    "email": "Emails not sending",
    "sms": "Text messages not sending",
    "calendar": "Calendars not syncing",
    "video": "Meetings cannot be created",
    "hris": "Employee data not syncing",
    "payroll": "Payroll data not syncing",
    "background_check": "Background checks not running",
    "job_board": "Job postings not publishing",
    "messaging": "Messages not posting",
    "storage": "Files not storing",
    "crm": "CRM data not syncing",
    "custom": "This service cannot be used",
}


#: How long a provider may put intctl off until waiting is no longer the next step.
_PUT_OFF = timedelta(hours=3)
_PUT_OFF_STEP = (
    "It has put intctl off for hours: read its words, look at its limits and its status page, and check less often "
    "(intctl interval)."
)


@dataclass(frozen=True, slots=True)
class Alert:
    """An integration that fails or that intctl cannot check; maintenance suppresses the alert."""

    id: str
    name: str
    type: str
    provider: str
    status: str | None
    verdict: Verdict
    code: str
    message: str
    impact: str
    since: datetime | None
    error_count: int | None
    scheduled_checks_stopped: bool
    next_step: str
    command: str
    maintenance_until: datetime | None = None


def alerts(database: Database, org_id: str) -> list[Alert]:
    """The integrations in error, then those that cannot be checked, including those in maintenance."""
    found = store.find_all(database, org_id)
    ends = maintenance_ends(database, org_id)
    now = clock.now(database) if any(one.code == "provider.busy" for one in found) else None
    return [_alert(one, maintenance_until(ends, one.integration.id), now) for one in found]


def _alert(one: OpenAlert, until: datetime | None, now: datetime | None) -> Alert:
    stored = one.integration
    failing = stored.status == "error"
    step = next_step_of(one.code, stored.name, one.facts, rejections=stored.rejections)
    if one.code == "provider.busy" and now and one.since and now - one.since > _PUT_OFF:
        step = _PUT_OFF_STEP
    return Alert(
        id=stored.id,
        name=stored.name,
        type=stored.type,
        provider=stored.provider,
        status=stored.status,
        verdict=one.verdict,
        code=one.code,
        message=message_of(one.code, stored.error_message, stored.detail, failing=failing),
        impact=impact_of(stored.type, failing=failing),
        since=one.since,
        error_count=stored.error_count,
        scheduled_checks_stopped=has_stopped(stored.rejections),
        next_step=step,
        command=command_of(one.code, stored.name, one.facts, failing=failing),
        maintenance_until=until,
    )


# --- the parts of an alert, for callers without a stored row ----------------------------------------


def message_of(code: str, error_message: str | None, detail: str = "", *, failing: bool) -> str:
    """What happened: the message of the failure, or why the integration cannot be checked, in the server's words."""
    if not failing and code in CODES:
        return f"{CODES[code].meaning}: {detail}" if detail else CODES[code].meaning
    return error_message or "in error; no check recorded the cause"


def impact_of(type: str, *, failing: bool) -> str:
    """What no longer works for an integration of this type."""
    return IMPACT.get(type, IMPACT["custom"]) if failing else "Unknown: it cannot be checked"


def has_stopped(rejections: int | None) -> bool:
    """Whether scheduled checks stopped after this many rejected logins."""
    from intctl.health.judge import MAX_REJECTIONS

    return (rejections or 0) >= MAX_REJECTIONS


def next_step_of(code: str, name: str, facts: Mapping[str, object], *, rejections: int | None = 0) -> str:
    """The next step, with commands to paste, and a note if scheduled logins stopped."""
    step = next_step(code, name, facts)
    if has_stopped(rejections):
        step += f" Scheduled logins stopped after {rejections} rejections, to avoid locking the account."
    return step


def command_of(code: str, name: str, facts: Mapping[str, object], *, failing: bool) -> str:
    """The command to run next."""
    if code in CODES and CODES[code].rejection:
        return edit_command(name, fields_of(facts))
    return f"intctl {'reconnect' if failing else 'check'} {quoted(name)}"
