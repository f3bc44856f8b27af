"""Alerts: since when an integration fails."""

from __future__ import annotations

from intctl.db.connect import Database
from intctl.store import alerts, clock, logs

from ..conftest import ORG_ID
from ..test_metrics import add_integration, add_log


def test_failing_since_the_first_failure_after_the_last_success(database: Database) -> None:
    """An alert starts at the first failure, not at the newest one; without logs, at the last check."""
    id = add_integration(database, "One", status="error")
    (alert,) = alerts.find_all(database, ORG_ID)
    assert alert.since == alert.integration.updated_at
    for status, seconds in (("failure", 900), ("success", 600), ("failure", 300), ("unknown", 200), ("failure", 60)):
        add_log(database, id, status, 5, seconds_ago=seconds)
    (alert,) = alerts.find_all(database, ORG_ID)
    assert alert.since is not None
    assert 299 <= (clock.now(database) - alert.since).total_seconds() < 590


def test_since_is_the_first_failure_after_the_last_success(database: Database) -> None:
    """Unknown checks do not end an alert; a success does, also one at the same moment."""
    id = add_integration(database, "One", status="error")
    for status, seconds in (("failure", 90), ("success", 80), ("failure", 70), ("unknown", 60), ("failure", 50)):
        add_log(database, id, status, 1, seconds_ago=seconds)
    (alert,) = alerts.find_all(database, ORG_ID)
    first = sorted(row.checked_at for row in logs.newest(database, ORG_ID, failures=True))[1]
    assert alert.since == first
