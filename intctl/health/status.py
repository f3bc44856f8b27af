"""The meaning of an integration's status, and the default interval."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["healthy", "degraded", "down", "misconfigured", "unknown"]

#: The phases of an exchange, in the order in which they happen.
PHASES = ("dns", "tcp", "proxy", "tls", "greet", "auth", "api")

#: The `status` column of a health log, by verdict.
LOG_STATUS: dict[Verdict, str] = {
    "healthy": "success",
    "degraded": "success",
    "down": "failure",
    "misconfigured": "failure",
    "unknown": "unknown",
}

#: The statuses of an integration that is switched on. With any other status it is off.
ENABLED = ("active", "error")
#: The specification's default of health_check_interval_minutes.
DEFAULT_INTERVAL_MINUTES = 5


def is_enabled(status: str | None) -> bool:
    """Return whether the agent checks an integration with this status."""
    return status in ENABLED


def interval_minutes(stored: int | None) -> int:
    """Return the interval for a stored value: NULL and 0 mean the default."""
    return stored or DEFAULT_INTERVAL_MINUTES
