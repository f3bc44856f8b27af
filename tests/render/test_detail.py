"""The page of one integration, the line of a check, and the line of a monitoring plugin."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from intctl.render.dashboard import dashboard_page
from intctl.render.detail import detail, finding, nagios
from intctl.store.stats import Stats
from intctl.views.finding import Finding
from intctl.views.integration import RecentError
from intctl.views.maintenance import Listed
from intctl.views.overview import Overview

from .. import records
from ..records import NOW


def outcome(name: str, verdict: str, code: str = "x.y", **values: Any) -> Finding:
    return records.finding(integration=name, verdict=verdict, code=code, **values)


@pytest.mark.parametrize(
    ("verdicts", "word", "code"),
    [
        ([], "UNKNOWN", 3),
        (["healthy"], "OK", 0),
        (["healthy", "degraded"], "WARNING", 1),
        (["degraded", "unknown"], "UNKNOWN", 3),
        (["unknown", "down"], "CRITICAL", 2),
        (["misconfigured", "healthy"], "CRITICAL", 2),
    ],
)
def test_nagios_says_the_worst(verdicts: list[str], word: str, code: int) -> None:
    """Critical is worse than unknown, unknown worse than a warning; nothing to check is unknown."""
    text, found = nagios([outcome(f"n{i}", verdict) for i, verdict in enumerate(verdicts)])
    assert found == code and text.startswith(f"INTCTL {word} - ")
    assert text.count("\n") == 1 and text.endswith("\n")


def test_nagios_line_keeps_its_form_whatever_the_names() -> None:
    """The line has one bar, even for names with bars, quotes and escapes."""
    text, _ = nagios([outcome("it's|a\x1b[31m\nname", "down")])
    assert text == "INTCTL CRITICAL - it's a[31m name down (x.y): It said no | 'it s a[31m name'=12ms\n"
    text, _ = nagios([outcome("A", "healthy"), outcome("B", "healthy")])
    assert text == "INTCTL OK - 2 healthy | 'A'=12ms 'B'=12ms\n"


def test_a_finding_says_what_to_do_unless_all_is_well() -> None:
    """A healthy finding is one line; any other has the phase and the next step."""
    assert finding(outcome("A", "healthy", "ok")) == "A: healthy — It said no (ok, 12 ms)"
    assert finding(outcome("A", "degraded")) == "A: degraded — It said no (x.y, 12 ms)\n  Next: Do this."
    assert finding(outcome("A\x1b", "down")).startswith("A: down — It said no (x.y, auth phase, 12 ms)\n")
    assert "phase" not in finding(outcome("A", "unknown", phase=""))


def page(stored: dict[str, Any] | None = None, **values: Any) -> str:
    unchecked = records.integration(verdict="unknown", code="self.not_checked")
    return detail(records.page(replace(unchecked, **stored or {}), **values))


def test_a_page_of_something_never_checked() -> None:
    """Unknown values are omitted or marked as unknown, never shown as zero."""
    text = page()
    assert "Unchecked" in text and "Last check  never" in text and "Next check  none planned" in text
    assert "Uptime" not in text and "Facts" not in text and "Recent errors" not in text and "Created" not in text


def test_a_page_of_something_that_fails() -> None:
    """Error, count, phases, facts and recent errors are sanitized."""
    text = page(
        {
            "name": "Mail\x1b[31m",
            "error_message": "no\x1b]0;x\x07",
            "error_count": 3,
            "phases_ms": {"dns": 1.25, "tcp": 2.0},
            "facts": {"tls_version": "TLSv1.3"},
            "next_check_at": NOW + timedelta(seconds=30),
        },
        config=None,
        config_problem="It does not open.",
        recent_errors=[RecentError(NOW - timedelta(minutes=3), "down", "a.b", "tcp", None)],
    )
    assert "\x1b" not in text and "\x07" not in text
    for words in (
        "Failures in a row  3",
        "dns 1.25 ms, tcp 2 ms",
        "tls version  TLSv1.3",
        "It does not open.",
        "3 min ago: a.b",
        "in 30 sec",
    ):
        assert words in text, words
    assert "due now" in page({"next_check_at": NOW})
    assert "in 2 min" in page({"next_check_at": NOW + timedelta(seconds=150)})


def test_the_dashboard_without_pictures_is_ascii_and_straight() -> None:
    """A terminal without UTF-8 gets ASCII lights and the same columns."""
    failing = {"status": "error", "verdict": "down", "code": "x", "last_health_check": NOW}
    row = Listed(records.integration(type="unheard_of", **failing))
    view = Overview(
        organisation="Acme\x1b",
        now=NOW,
        stats=Stats(total=1, active=0, error=1, disabled=0),
        alerts=[records.alert(type="unheard_of")],
        integrations=[row],
    )
    for plain in (True, False):
        text = dashboard_page(view, width=80, plain=plain)
        assert text.isascii() == plain and "\x1b" not in text
        assert ("!! Error" in text) == plain and ("🔴 Error" in text) != plain
        assert "Cause:  x" in text and "2026-01-31 09:30:00 UTC" in text
    none = Overview(organisation="A", now=NOW, stats=Stats(0, 0, 0, 0), alerts=[], integrations=[])
    empty = dashboard_page(none, width=None, plain=True)
    assert "nothing is in error" in empty and "None yet" in empty
