"""Times as people type them: 24h, 2026-01-31, 2026-01-31T09:30, in any time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import click

from intctl.errors import UsageError
from intctl.text import clean

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str, option: str, units: str = "mhd") -> timedelta:
    """A length such as 30m, 24h or 7d. Raises UsageError."""
    found = re.fullmatch(rf"([1-9][0-9]{{0,5}})([{units}])", text)
    if not found:
        raise UsageError(f"{option} takes a number and one of {', '.join(units)}, such as 30{units[-1]}.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def zone(name: str) -> tzinfo:
    """A time zone by its name. Raises UsageError."""
    if name.upper() in ("UTC", "Z"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f'--tz: this machine knows no time zone "{clean(name, 40)}"; write one such as Europe/Berlin, or UTC.'
        ) from None


def moment(text: str, option: str, within: tzinfo, *, end_of_day: bool = False) -> datetime:
    """A day or a time, ISO 8601, in UTC. Without an offset it is in the zone `within`; a day is one there.

    `end_of_day`: a day stands for its end. Raises UsageError.
    """
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            day = datetime.fromisoformat(text) + timedelta(days=end_of_day)
            return day.replace(tzinfo=within).astimezone(UTC)
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=within)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} takes a day or a time, such as 2026-01-31 or 2026-01-31T09:30") from None


def zone_option(function: Any) -> Any:
    """--tz, wherever days and times without an offset are typed."""
    option = click.option(
        "--tz",
        metavar="ZONE",
        default="UTC",
        show_default=True,
        help="Time zone of what is typed and shown, such as Europe/Berlin.",
    )
    return option(function)
