"""Bars, durations and columns of the figures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from intctl.metrics.figures import Outage
from intctl.render.history import known, length, page, report_columns, sparkline
from intctl.views.figures import Figures

from .. import records
from ..records import NOW


@pytest.mark.parametrize(("plain", "text"), [(False, "·▁▁▄▇▇█"), (True, "._-=++#")])
def test_only_never_down_is_a_full_bar(plain: bool, text: str) -> None:
    """Down is the lowest bar, only 100 % is the highest, unknown is a dot; ASCII without UTF-8."""
    drawn = sparkline([None, 0.0, 26.0 if plain else 10.0, 51.0, 90.0, 99.999, 100.0], plain=plain)
    assert drawn == text
    assert drawn.isascii() == plain


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 sec"),
        (119, "119 sec"),
        (120, "2 min"),
        (3569, "59 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (172_800, "2 d"),
        (180_000, "2 d 2 h"),
        (-90, "-90 sec"),
    ],
)
def test_lengths_of_time(seconds: int, text: str) -> None:
    """The two largest units are enough."""
    assert length(seconds) == text


def report(**values: Any) -> Figures:
    return Figures(records.report(**values))


def test_a_page_in_plain_ascii() -> None:
    """Unknown values are a dash, missing ones are omitted, and nothing requires UTF-8."""
    text = page(report(), UTC, NOW, plain=True)
    assert text.isascii() and "Uptime          -\n" in text and "None." in text
    assert "Response time" not in text and "Maintenance" not in text and "Target" not in text
    made = page(report(integration="One\x1b[31m"), UTC, NOW, plain=False)
    assert "\x1b" not in made


def test_a_page_says_what_does_not_count_and_what_is_coarser() -> None:
    """Maintenance, disabled time, deleted checks, and response times compared with the usual ones."""
    text = page(
        report(
            maintenance_seconds=7200,
            inactive_seconds=60,
            coverage_percent=99.9,
            unknown_seconds=300,
            whole_days_before=datetime(2026, 1, 3, tzinfo=UTC),
            response_time_compared="slower than usual",
            response_time_now_ms=300,
            response_time_usual_p50_ms=100,
            response_time_usual_p95_ms=200,
            incidents=[Outage(datetime(2026, 1, 31, tzinfo=UTC), None, "", 600, 300, True)],
        ),
        UTC,
        NOW,
        plain=True,
    )
    for said in (
        "2 h, not counted",
        "60 sec, not counted",
        "99 % of the time that counts",
        "; 5 min unknown",
        "from before 2026-01-03 are deleted",
        "300 ms, slower than usual",
        "before 2026-01-31 00:00:00 to ongoing: 10 min, no code recorded; 5 min of it unknown",
    ):
        assert said in text, said


def test_the_table_has_the_target_only_where_there_is_one() -> None:
    """--target adds two columns; the known share is rounded down to whole percent."""
    rows = (report(target_met=True, error_budget_left_seconds=60), report())
    headings = [[column.heading for column in report_columns(plain=True, target=target)] for target in (True, False)]
    assert [heading for heading in headings[0] if heading not in headings[1]] == ["Target", "Budget left"]
    for row, cells in zip(rows, (["met", "60 sec"], ["-", "-"]), strict=True):
        assert [column.cell(row) for column in report_columns(plain=True, target=True)][2:4] == cells
    assert (known(records.report(coverage_percent=99.999)), known(records.report())) == ("99 %", "-")
