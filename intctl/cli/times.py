"""Parsing of typed times: 24h, 2026-01-31, 2026-01-31T09:30, in any time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import click

from intctl.errors import UsageError
from intctl.text import clean

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str, option: str, units: str = "mhd") -> timedelta:
    """Parse a duration such as 30m, 24h or 7d. Raises UsageError."""
    found = re.fullmatch(rf"([1-9][0-9]{{0,5}})([{units}])", text)
    if not found:
        raise UsageError(f"{option} must be a number and one of {', '.join(units)}, such as 30{units[-1]}.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def zone(name: str) -> tzinfo:
    """Find a time zone by its name. Raises UsageError."""
    if name.upper() in ("UTC", "Z"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f'--tz: there is no time zone "{clean(name, 40)}" on this machine; use one such as Europe/Berlin, or UTC.'
        ) from None


def moment(text: str, option: str, within: tzinfo, *, end_of_day: bool = False) -> datetime:
    """Parse an ISO 8601 day or time into UTC; without an offset, it is in the zone `within`.

    With `end_of_day`, a day means its end. Raises UsageError.
    """
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            day = datetime.fromisoformat(text) + timedelta(days=end_of_day)
            return day.replace(tzinfo=within).astimezone(UTC)
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=within)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} must be a day or a time, such as 2026-01-31 or 2026-01-31T09:30") from None


def zone_option(function: Any) -> Any:
    """Add --tz."""
    option = click.option(
        "--tz",
        metavar="ZONE",
        default="UTC",
        show_default=True,
        help="Time zone of input and output, such as Europe/Berlin.",
    )
    return option(function)
