"""What the status of an integration means, and how often one is checked that says nothing of it."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["healthy", "degraded", "down", "misconfigured", "unknown"]

#: What each verdict is written as in a health log's `status` column.
LOG_STATUS: dict[Verdict, str] = {
    "healthy": "success",
    "degraded": "success",
    "down": "failure",
    "misconfigured": "failure",
    "unknown": "unknown",
}

#: The statuses of an integration that is switched on; any other is off.
ENABLED = ("active", "error")
#: The specification's default of health_check_interval_minutes.
DEFAULT_INTERVAL_MINUTES = 5


def is_enabled(status: str | None) -> bool:
    """Whether an integration of this status is checked by the agent."""
    return status in ENABLED


def interval_minutes(stored: int | None) -> int:
    """The interval that a stored value means: none, or 0, is the default."""
    return stored or DEFAULT_INTERVAL_MINUTES
