"""The figures of a window from the database, compared with manual calculations."""

from __future__ import annotations

import json
import math
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intctl.db.connect import Database, connect
from intctl.db.url import Target
from intctl.metrics import report
from intctl.metrics.figures import KEYS, Report
from intctl.metrics.report import WINDOWS, Window
from intctl.render.rows import shape
from intctl.store import clock, integrations, logs

from .conftest import ORG_ID


def add_integration(database: Database, name: str, org_id: str = ORG_ID, **values: object) -> str:
    """Add an integration as a row. Returns its id."""
    id = str(uuid.uuid4())
    row = {
        "id": id,
        "org_id": org_id,
        "type": "email",
        "provider": "smtp",
        "name": name,
        "config": {"v": 0},
        "status": "active",
        **values,
    }
    database.run(f"INSERT INTO integrations ({', '.join(row)}) VALUES ({', '.join(f':{key}' for key in row)})", row)
    return id


def add_log(
    database: Database, id: str, status: str, ms: int | None, *, seconds_ago: int = 60, **metadata: Any
) -> None:
    """A health log as a row."""
    database.run(
        "INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, checked_at,"
        " metadata) VALUES (:log, :id, 'manual', :status, :ms, {after :shift}, :metadata)",
        {"log": str(uuid.uuid4()), "id": id, "status": status, "ms": ms, "shift": -seconds_ago, "metadata": metadata},
    )


def last(database: Database, name: str = "24h", **options: Any) -> list[Report]:
    """The reports of a window that ends now."""
    now = clock.now(database)
    return report.metrics(database, ORG_ID, Window.of(name, now - WINDOWS[name], now, now), **options)


def nearest_rank(values: list[int], percent: int) -> int | None:
    """A percentile by its definition."""
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1] if values else None


@pytest.mark.parametrize("count", [0, 1, 2, 19, 20, 21, 100])
def test_percentile_is_the_nearest_rank(target: Target, count: int) -> None:
    """Percentiles and average count successes only, equal times and missing ones included, as the definition says."""
    chance = random.Random(count)
    times = [chance.choice([5, 7, chance.randrange(10_000)]) for _ in range(count)]
    with connect(target) as database:
        id, other = add_integration(database, "One"), add_integration(database, "Other")
        for ms in times:
            add_log(database, id, "success", ms)
        for ms in (90_000, 90_001):
            add_log(database, id, "failure", ms)
        add_log(database, id, "unknown", 99_999)
        add_log(database, id, "success", None)
        add_log(database, other, "success", 50_000)
        (found,) = last(database, id=id)
    for percent in (50, 95, 99):
        assert getattr(found, f"response_time_p{percent}_ms") == nearest_rank(times, percent)
    assert found.response_time_average_ms == (round(sum(times) / count, 1) if count else None)
    assert (found.successes, found.failures, found.unknown, found.checks) == (count + 1, 2, 1, count + 4)
    assert found.error_rate_percent == round(200 / (count + 3), 2)


def test_windows(target: Target) -> None:
    """A check counts in the windows that reach back to it, and in no shorter one."""
    with connect(target) as database:
        add_integration(database, "One")
        id = integrations.find(database, ORG_ID, "One").id
        for hours in (1, 23, 25, 24 * 6, 24 * 8, 24 * 29, 24 * 31, 24 * 89, 24 * 91):
            add_log(database, id, "success", 10, seconds_ago=hours * 3600)
        counts = {name: last(database, name)[0].successes for name in WINDOWS}
    assert counts == {"24h": 2, "7d": 4, "30d": 6, "90d": 8}
    assert WINDOWS["24h"] == timedelta(days=1)


def test_nothing_known_has_no_percentage(target: Target) -> None:
    """Without a check, or with unknown ones only, uptime and error rate are absent, not zero."""
    with connect(target) as database:
        id = add_integration(database, "One")
        (none,) = last(database)
        add_log(database, id, "unknown", 3, seconds_ago=600)
        (unknown,) = last(database)
    assert tuple(shape(none, KEYS)) == KEYS
    for found in (none, unknown):
        for key in (
            "uptime_percent",
            "error_rate_percent",
            "response_time_average_ms",
            "response_time_p95_ms",
            "mttr_seconds",
            "target_met",
            "response_time_compared",
        ):
            assert getattr(found, key) is None, key
        assert (found.up_seconds, found.down_seconds, found.incidents) == (0, 0, [])
    assert (unknown.checks, unknown.unknown, unknown.coverage_percent) == (1, 1, 0.0)
    assert unknown.unknown_seconds == pytest.approx(600, abs=30)


def test_uptime_is_time_and_not_a_count(target: Target) -> None:
    """Ten good checks in a minute and one failure that lasted an hour: down for an hour."""
    with connect(target) as database:
        id = add_integration(database, "One", health_check_interval_minutes=60)
        for seconds in range(7200, 7190, -1):
            add_log(database, id, "success", 10, seconds_ago=seconds)
        add_log(database, id, "failure", 10, seconds_ago=5400, code="http.server_error")
        add_log(database, id, "success", 10, seconds_ago=1800)
        (found,) = last(database, target=50.0)
    assert [found.up_seconds, found.down_seconds] == pytest.approx([3600, 3600], abs=30)
    assert found.uptime_percent == pytest.approx(50, abs=0.5)
    assert found.error_rate_percent == round(100 / 12, 2)
    assert found.coverage_percent == 100.0
    (incident,) = found.incidents
    assert incident.code == "http.server_error"
    assert incident.duration_seconds == found.mttr_seconds == pytest.approx(3600, abs=30)
    assert incident.end is not None
    assert (incident.end - incident.start).total_seconds() == pytest.approx(3600, abs=30)


def test_a_target_is_met_or_missed_and_leaves_a_budget(target: Target) -> None:
    """The budget is a share of the known time; its rest can be negative."""
    with connect(target) as database:
        id = add_integration(database, "One", health_check_interval_minutes=60)
        add_log(database, id, "success", 10, seconds_ago=7200)
        add_log(database, id, "failure", 10, seconds_ago=3600)
        add_log(database, id, "success", 10, seconds_ago=3240)
        (met,), (missed,), (without,) = (last(database, target=wanted) for wanted in (90.0, 99.0, None))
    assert (met.target_percent, met.target_met, missed.target_met) == (90.0, True, False)
    assert met.error_budget_seconds == pytest.approx(720, abs=5)
    assert met.error_budget_left_seconds == pytest.approx(360, abs=5)
    assert missed.error_budget_left_seconds == pytest.approx(-288, abs=5)
    assert without.target_met is without.error_budget_seconds is without.target_percent is None


def test_hardly_ever_down_is_not_a_hundred_per_cent() -> None:
    """Percentages are truncated, not rounded up, and never above 100."""
    assert report._share(99_999.9, 100_000) == 99.999
    assert report._share(100_000.0000001, 100_000) == 100.0
    assert report._share(1, 0) is None


@pytest.mark.parametrize(
    ("newest", "words"),
    [(100, "as usual"), (151, "slower than usual"), (320, "much slower than usual"), (49, "faster than usual")],
)
def test_response_times_are_compared_with_what_is_usual(target: Target, newest: int, words: str) -> None:
    """The median of the newest five against its own last 30 days, whatever the window; with enough of both."""
    with connect(target) as database:
        id = add_integration(database, "One")
        for number in range(200):
            ms = 150 if number % 15 == 0 else 100
            add_log(database, id, "success", ms, seconds_ago=(number + 10) * 3600)
        for seconds in range(1, 6):
            add_log(database, id, "success", newest if seconds != 3 else 5, seconds_ago=seconds)
        for name in ("24h", "30d"):
            (found,) = last(database, name)
            assert found.response_time_compared == words
            assert (found.response_time_usual_p50_ms, found.response_time_usual_p95_ms) == (100, 150)
            assert found.response_time_now_ms == newest
        first, second = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2021))
        past = Window.of("custom", first, second, clock.now(database))
        (old,) = report.metrics(database, ORG_ID, past)
        assert old.response_time_compared is None and old.response_time_now_ms is None
        database.run("DELETE FROM integration_health_logs WHERE checked_at < {after -6}")
        assert last(database)[0].response_time_compared is None


def test_time_before_it_was_made_does_not_count(target: Target) -> None:
    """Coverage begins with the integration, or with its first check if that is older; future checks don't count."""
    with connect(target) as database:
        id = add_integration(database, "One", created_at=clock.now(database) - timedelta(hours=2))
        add_log(database, id, "success", 1, seconds_ago=300)
        add_log(database, id, "failure", 1, seconds_ago=-300)
        (found,) = last(database)
        assert found.inactive_seconds == pytest.approx(22 * 3600, abs=30)
        assert found.up_seconds == pytest.approx(300, abs=30) and found.failures == 0
        assert found.coverage_percent == pytest.approx(100 * 300 / 7200, abs=0.5)
        add_log(database, id, "success", 1, seconds_ago=10 * 3600)
        assert last(database)[0].inactive_seconds == pytest.approx(14 * 3600, abs=30)


def test_the_history_in_parts(target: Target) -> None:
    """The uptime of each part of the window, oldest first, None where nothing is known."""
    with connect(target) as database:
        id = add_integration(database, "One", health_check_interval_minutes=60)
        add_log(database, id, "failure", 1, seconds_ago=5400)
        add_log(database, id, "success", 1, seconds_ago=2700)
        parts = {name: last(database, name)[0].history for name in WINDOWS}
    assert {name: len(found) for name, found in parts.items()} == {"24h": 24, "7d": 28, "30d": 30, "90d": 30}
    assert parts["24h"][:22] == [None] * 22
    assert parts["24h"][22:] == pytest.approx([0.0, 75.0], abs=1)


def test_metadata_of_another_program_is_no_obstacle(target: Target) -> None:
    """Logs whose metadata is missing or not an object count by their status."""
    with connect(target) as database:
        id = add_integration(database, "One")
        add_log(database, id, "failure", 3)
        database.run("UPDATE integration_health_logs SET metadata = NULL")
        (log,) = logs.newest(database, ORG_ID)
        assert (log.verdict, log.code, log.facts, log.phases_ms) == ("down", "", {}, {})
        add_log(database, id, "success", 4, seconds_ago=30)
        add_log(database, id, "strange", 4, seconds_ago=20)
        assert [row.verdict for row in logs.newest(database, ORG_ID)] == ["unknown", "healthy", "down"]
        assert json.dumps(integrations.find_all(database, ORG_ID)[0].facts) == "{}"
