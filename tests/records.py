"""Records with arbitrary values, for tests that depend on a few of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from intctl.metrics.figures import Report
from intctl.store.integrations import Integration
from intctl.store.maintenance import MaintenanceWindow
from intctl.views.alerts import Alert
from intctl.views.finding import Finding
from intctl.views.integration import IntegrationPage

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)

_INTEGRATION = Integration(
    id="1",
    org_id="o",
    name="Mail",
    type="email",
    provider="smtp",
    status="active",
    last_health_check=None,
    last_sync=None,
    last_sync_error=None,
    error_message=None,
    error_count=0,
    health_check_interval_minutes=5,
    config_version=1,
    created_at=None,
    updated_at=None,
    deleted_at=None,
    next_check_at=None,
    rejections=0,
    last_success_at=None,
    verdict="healthy",
    code="ok",
    phase="",
    phases_ms={},
    facts={},
)
_ALERT = Alert(
    id="1",
    name="Mail",
    type="email",
    provider="smtp",
    status="error",
    verdict="down",
    code="x",
    message="no",
    impact="I",
    since=NOW,
    error_count=1,
    scheduled_checks_stopped=False,
    next_step="N",
    command="C",
)
_FINDING = Finding(
    integration="Mail",
    id="1",
    provider="smtp",
    verdict="healthy",
    code="x.y",
    phase="auth",
    message="It said no",
    next_step="Do this.",
    response_time_ms=12,
    phases_ms={},
    facts={},
    checked_at=NOW,
)
_REPORT = Report(
    integration="One",
    id="1",
    window="24h",
    checks=0,
    successes=0,
    failures=0,
    unknown=0,
    uptime_percent=None,
    error_rate_percent=None,
    response_time_average_ms=None,
    response_time_p95_ms=None,
    from_=NOW,
    to=NOW,
    coverage_percent=None,
    up_seconds=0,
    down_seconds=0,
    unknown_seconds=0,
    maintenance_seconds=0,
    inactive_seconds=0,
    response_time_p50_ms=None,
    response_time_p99_ms=None,
    response_time_now_ms=None,
    response_time_usual_p50_ms=None,
    response_time_usual_p95_ms=None,
    response_time_compared=None,
    incidents=(),
    mttr_seconds=None,
    history=(None, 100.0),
    whole_days_before=None,
    target_percent=None,
    target_met=None,
    error_budget_seconds=None,
    error_budget_left_seconds=None,
)


def integration(**values: Any) -> Integration:
    """An integration that works."""
    return replace(_INTEGRATION, **values)


def alert(**values: Any) -> Alert:
    """An integration in error."""
    return replace(_ALERT, **values)


def finding(**values: Any) -> Finding:
    """A checked integration."""
    return replace(_FINDING, **values)


def report(**values: Any) -> Report:
    """A report without known values."""
    return _REPORT._replace(**values)


def page(one: Integration, **values: Any) -> IntegrationPage:
    """The page of an integration."""
    blank = IntegrationPage(
        integration=one,
        maintenance_until=None,
        title="SMTP",
        next_step="Check it.",
        config={},
        config_problem=None,
        metrics=report(),
        recent_errors=(),
        usage=None,
        now=NOW,
    )
    return replace(blank, **values)


def window(starts_at: datetime, ends_at: datetime, **values: Any) -> MaintenanceWindow:
    """A maintenance window of the integration 1, once."""
    found = MaintenanceWindow("w", "1", "One", starts_at, ends_at, False, "UTC")
    return replace(found, **values)
