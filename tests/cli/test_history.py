"""The commands logs and metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from intctl.db.connect import connect
from intctl.store import clock, integrations

from ..conftest import ORG_ID
from ..test_metrics import add_integration, add_log
from .conftest import Intctl


@pytest.fixture
def history(intctl: Intctl) -> Intctl:
    """One integration with checks 1 minute, 2 hours and 3 days ago, and one without checks."""
    with connect(intctl.target) as database:
        id = add_integration(database, "One")
        add_integration(database, "None")
        for status, minutes in (("success", 1), ("failure", 120), ("success", 4320)):
            add_log(database, id, status, minutes, seconds_ago=minutes * 60 + 5)
    return intctl


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("30m", 1),
        ("3h", 2),
        ("7d", 3),
        ("2020-01-31", 3),
        ("2020-01-31T00:00:00+02:00", 3),
        ("2999-01-01T00:00:00Z", 0),
    ],
)
def test_since(history: Intctl, since: str, count: int) -> None:
    """--since accepts minutes, hours, days or a time; without a zone it is UTC."""
    assert len(history("logs", "--since", since, "-o", "json").json) == count


@pytest.mark.parametrize(
    "since",
    [
        "",
        "0h",
        "-1h",
        "h",
        "1y",
        "yesterday",
        "99999999d",
        "999999d",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_since_refuses(history: Intctl, since: str) -> None:
    """An invalid or too distant time is a usage error; an empty one means no limit."""
    ran = history("logs", "--since", since, code=None)
    assert (ran.code, ran.err.count("\n")) == ((0, 0) if since == "" else (2, 1))


def test_logs_of_one_and_of_all(history: Intctl) -> None:
    """NAME, --failures and --limit filter; an empty result has a message."""
    assert len(history("logs", "one", "-o", "json").json) == 3
    assert [row["status"] for row in history("logs", "--failures", "-o", "json").json] == ["failure"]
    assert len(history("logs", "--limit", "2", "-o", "json").json) == 2
    assert history("logs", "None").out == "No matching checks are recorded.\n"
    for limit in ("0", "10001", "x"):
        history("logs", "--limit", limit, code=2)


@pytest.mark.parametrize(
    ("window", "checks", "error_rate"), [("24h", 2, 50.0), ("7d", 3, 33.33), ("30d", 3, 33.33), ("90d", 3, 33.33)]
)
def test_metrics_by_window(history: Intctl, window: str, checks: int, error_rate: float) -> None:
    """Only checks in the window count; without checks there is no percentage."""
    none, one = history("metrics", "--window", window, "-o", "json").json
    assert (one["integration"], one["checks"], one["error_rate_percent"], one["window"]) == (
        "One",
        checks,
        error_rate,
        window,
    )
    assert (none["checks"], none["uptime_percent"], none["response_time_p95_ms"]) == (0, None, None)
    (again,) = history("metrics", "One", "--window", window, "-o", "json").json
    assert (again["checks"], again["failures"], list(again)) == (one["checks"], one["failures"], list(one))
    assert ORG_ID not in history("metrics").out


# --- windows of time


def during(intctl: Intctl, name: str, *moments: tuple[str, str]) -> None:
    """Record checks at these times."""
    with connect(intctl.target) as database:
        id = integrations.find(database, ORG_ID, name).id
        for at, status in moments:
            add_log(database, id, status, 100, code="tcp.timeout")
            database.run(
                "UPDATE integration_health_logs SET checked_at = :at WHERE checked_at > {after -70}",
                {"at": datetime.fromisoformat(at)},
            )


@pytest.fixture
def spring(intctl: Intctl) -> Intctl:
    """One integration with an outage in the night of the DST change in Berlin."""
    with connect(intctl.target) as database:
        made = datetime(2024, 1, 1, tzinfo=UTC)
        add_integration(database, "One", health_check_interval_minutes=60, created_at=made)
    during(
        intctl,
        "One",
        ("2024-03-30T22:30:00+00:00", "success"),
        ("2024-03-31T00:30:00+00:00", "failure"),
        ("2024-03-31T01:30:00+00:00", "success"),
    )
    return intctl


def test_a_day_is_a_local_one(spring: Intctl) -> None:
    """The day of the DST change has 23 hours in Berlin and 24 elsewhere; --to includes its day."""
    (one,) = spring("metrics", "--from", "2024-03-31", "--to", "2024-03-31", "--tz", "Europe/Berlin", "-o", "json").json
    assert (one["from"], one["to"], one["window"]) == ("2024-03-30T23:00:00.000Z", "2024-03-31T22:00:00.000Z", "custom")
    assert (one["up_seconds"], one["down_seconds"], one["checks"]) == (5400 + 7200, 3600, 2)
    assert one["uptime_percent"] == round(100 * 12_600 / 16_200 - 0.0005, 3)
    assert one["coverage_percent"] == int(100_000 * 16_200 / (23 * 3600)) / 1000
    (utc,) = spring("metrics", "--from", "2024-03-31", "--to", "2024-03-31", "-o", "json").json
    assert (utc["from"], utc["to"]) == ("2024-03-31T00:00:00.000Z", "2024-04-01T00:00:00.000Z")
    exact = ("--from", "2024-03-31T01:45", "--to", "2024-03-31T03:15", "--tz", "Europe/Berlin", "-o", "json")
    (short,) = spring("metrics", *exact).json
    assert (short["up_seconds"], short["down_seconds"]) == (0, 1800)
    assert short["incidents"][0]["began_before"] is True
    (off,) = spring("metrics", "--from", "2024-03-31T02:00+02:00", "--to", "2024-03-31T01:00:00Z", "-o", "json").json
    assert off["up_seconds"] + off["down_seconds"] == 3600


def test_the_page_of_one(spring: Intctl) -> None:
    """Uptime, target, coverage and incidents in the requested zone; plain without UTF-8."""
    words = ("metrics", "One", "--from", "2024-03-31", "--to", "2024-03-31", "--tz", "Europe/Berlin")
    page = spring(*words, "--target", "99.9").out
    for said in (
        "One — 2024-03-31 00:00:00 to 2024-04-01 00:00:00 (Europe/Berlin)",
        "77.777 % (down for 1 h)",
        "99.9 %: missed (error budget 16 sec, overspent by 1 h)",
        "19 % of the time that counts",
        "2024-03-31 01:30:00 to 2024-03-31 03:30:00: 1 h, tcp.timeout",
        "1 h on average",
        "2: 1 succeeded, 1 failed, 0 unknown",
    ):
        assert said in page, f"{said!r} is not in\n{page}"
    assert spring(*words, "--target", "50").out.count("50 %: met") == 1
    table = spring("metrics", "--from", "2024-03-31", "--to", "2024-03-31", "--target", "99.9").out
    assert "missed" in table and "Budget left" in table
    assert "no known time to compare with" in spring("metrics", "One", "--target", "99.9").out


@pytest.mark.parametrize(
    "words",
    [
        ("--to", "2024-03-31"),
        ("--window", "7d", "--from", "2024-03-31"),
        ("--from", "2999-01-01"),
        ("--from", "2024-03-31", "--to", "2024-03-30"),
        ("--from", "2024-03-31", "--to", "2024-03-31T00:00"),
        ("--from", "yesterday"),
        ("--from", "1999-01-01"),
        ("--from", "2024-02-30"),
        ("--tz", "Mars/Olympus"),
        ("--tz", "../../etc/passwd"),
        ("--tz", ""),
        ("--target", "nan"),
        ("--target", "100"),
        ("--target", "-1"),
        ("--from", "9999-12-31T23:59:59-14:00"),
        ("--from", "2024-03-31", "--to", "9999-12-31"),
        ("--window", "1y"),
    ],
)
def test_windows_that_make_no_sense(history: Intctl, words: tuple[str, ...]) -> None:
    """A usage error has a message and no standard output."""
    ran = history("metrics", *words, code=2)
    assert ran.out == "" and "Traceback" not in ran.err


# --- deleting


def test_prune_says_asks_and_deletes(intctl: Intctl) -> None:
    """--dry-run deletes nothing, without a confirmation neither; --yes deletes and keeps the figures."""
    with connect(intctl.target) as database:
        id = add_integration(database, "One", created_at=clock.now(database) - timedelta(days=300))
        for days in range(1, 200, 2):
            add_log(database, id, "success", 10, seconds_ago=days * 86400)
    before = intctl("metrics", "--from", _days_ago(299), "-o", "json").json
    assert "Would delete up to 55 checks of 1 integrations" in intctl("logs", "prune", "--dry-run").out
    assert "add --yes" in intctl("logs", "prune", code=2).err
    assert "Would delete up to 85 checks" in intctl("logs", "prune", "--older-than", "30d", "--dry-run").out
    assert "Deleted 85 checks" in intctl("logs", "prune", "--older-than", "30d", "--yes").out
    assert "Nothing to delete" in intctl("logs", "prune", "--older-than", "30d", "--yes").out
    assert len(intctl("logs", "-o", "json", "--limit", "1000").json) == 15
    after = intctl("metrics", "--from", _days_ago(299), "-o", "json").json
    assert (after[0]["checks"], after[0]["response_time_p95_ms"]) == (before[0]["checks"], 10)


def _days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).date().isoformat()


@pytest.mark.parametrize(
    "words",
    [("--older-than", "1d"), ("--older-than", "30"), ("--older-than", "0d"), ("--older-than", "12h"), ("extra",)],
)
def test_prune_refuses(intctl: Intctl, words: tuple[str, ...]) -> None:
    """--older-than accepts only whole days, at least two."""
    intctl("logs", "prune", *words, "--yes", code=2)


def test_what_is_called_prune_has_logs_too(intctl: Intctl) -> None:
    """`logs prune` is the subcommand; after --, prune is a name."""
    with connect(intctl.target) as database:
        add_log(database, add_integration(database, "prune"), "success", 10)
        add_log(database, add_integration(database, "prune it"), "success", 10)
    assert intctl("logs", "--", "prune", "-o", "name", code=2).err
    assert intctl("logs", "-o", "name", "--", "prune").out == "prune\n"
    assert intctl("logs", "prune it", "-o", "name").out == "prune it\n"
    assert "Nothing to delete" in intctl("logs", "prune").out
    assert "--older-than" in intctl("logs", "prune", "--help").out


def test_retention_is_set_for_an_organisation(intctl: Intctl) -> None:
    """The default is 90 days; the list of organisations shows the value."""
    assert intctl("org", "list", "-o", "json").json[0]["retention_days"] == 90
    assert "30 days" in intctl("org", "set", "--retention-days", "30").out
    assert intctl("org", "list", "-o", "json").json[0]["retention_days"] == 30
    for days in ("1", "3651", "x"):
        intctl("org", "set", "--retention-days", days, code=2)
    intctl("org", "set", code=2)
    intctl("--org", "0b0b0b0b-0000-4000-8000-00000000beef", "org", "set", "--retention-days", "30", code=3)
