"""The texts of table cells."""

from __future__ import annotations

from datetime import timedelta

import pytest

from intctl.health.codes import CODES
from intctl.render.words import LIGHTS, PLAIN_LIGHTS, ago, last_sync_text, light, percent, status_text
from intctl.views.steps import next_step, quoted

from ..records import NOW, integration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (0, "0 sec ago"),
        (59, "59 sec ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 hour ago"),
        (7200, "2 hours ago"),
        (86399, "23 hours ago"),
        (86400, "1 day ago"),
        (86400 * 400, "400 days ago"),
    ],
)
def test_ago(seconds: int, text: str) -> None:
    """Whole units, rounded down; a future time is just now; singular and plural."""
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_never() -> None:
    """A missing time is never."""
    assert ago(None, NOW) == "never"


@pytest.mark.parametrize(
    ("status", "verdict", "code", "text", "colour"),
    [
        ("active", "healthy", "ok", "Active", "good"),
        ("active", "degraded", "tls.expires_soon", "Active (degraded)", "care"),
        ("active", "down", "connect.timeout", "Active (failing)", "care"),
        ("active", "unknown", "dns.failure", "Unknown", "none"),
        ("active", "unknown", "self.not_checked", "Unchecked", "none"),
        ("error", "down", "connect.refused", "Error", "bad"),
        ("inactive", "healthy", "ok", "Disabled", "none"),
        ("pending", "healthy", "ok", "Disabled", "none"),
    ],
)
def test_status_and_light(status: str, verdict: str, code: str, text: str, colour: str) -> None:
    """Only a successful exchange is green; an unchecked integration never is."""
    row = integration(status=status, verdict=verdict, code=code)
    assert (status_text(row), light(row)) == (text, colour)
    assert colour in LIGHTS and PLAIN_LIGHTS[colour].isascii()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"last_sync": 60}, "1 min ago"),
        ({"last_sync": 60, "last_sync_error": "no space"}, "1 min ago (failed)"),
        ({"last_sync_error": "no space"}, "failed"),
        ({"verdict": "down", "last_health_check": 120, "last_success_at": 900}, "2 min ago (check failed)"),
        ({"last_success_at": 900}, "15 min ago (check)"),
        ({}, "never"),
    ],
)
def test_last_sync(values: dict[str, object], text: str) -> None:
    """A reported sync has priority over a check, and a check is marked as one."""
    moments = {key: NOW - timedelta(seconds=value) for key, value in values.items() if isinstance(value, int)}
    row = integration(**{**values, **moments})
    assert last_sync_text(row, NOW) == text


def test_next_steps_can_be_typed() -> None:
    """Commands have the quoted name; an unknown code suggests a check."""
    fielded = next(code for code, cause in CODES.items() if "--secret FIELD" in cause.next_step)
    assert "intctl edit 'Company mail' --secret api_key" in next_step(
        fielded, "Company mail", {"secret_fields": ["api_key"]}
    )
    assert next_step("of.another.version", "it's") == "Run intctl check 'it'\"'\"'s'."
    for code in CODES:
        assert "NAME" not in next_step(code, "x")
    assert quoted("a\x1b[31mb") == "'a[31mb'"


def test_percent() -> None:
    """Percentages are rounded; a total of zero has none."""
    assert (percent(1, 3), percent(0, 5), percent(0, 0)) == ("1 (33%)", "0 (0%)", "0")
