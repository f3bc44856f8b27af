"""The command maintenance: planning, listing and ending it, and the alerts that it suppresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from intctl.db.connect import connect
from intctl.store import integrations

from ..conftest import ORG_ID
from ..test_metrics import add_integration, add_log
from .conftest import Intctl


@pytest.fixture
def broken(intctl: Intctl) -> Intctl:
    """Two integrations in error and a healthy one."""
    with connect(intctl.target) as database:
        for name, status in (("Mail", "error"), ("Sms", "error"), ("Fine", "active")):
            id = add_integration(database, name, status=status, health_check_interval_minutes=60)
            result = "failure" if status == "error" else "success"
            verdict = "down" if status == "error" else "healthy"
            for seconds in (7000, 3500):
                add_log(
                    database, id, result, 10, seconds_ago=seconds, verdict=verdict, code="tcp.timeout", config_version=1
                )
    return intctl


def test_it_is_quiet_in_maintenance(broken: Intctl) -> None:
    """alerts, its exit code, list and dashboard show the end of the maintenance instead of an alert."""
    assert [row["name"] for row in broken("alerts", "--exit-code", "-o", "json", code=1).json] == ["Mail", "Sms"]
    added = broken("maintenance", "add", "Mail", "--for", "2h", "--reason", "new certificate").out
    assert added.startswith("Mail: maintenance from ") and "Id: " in added
    assert [row["name"] for row in broken("alerts", "-o", "json").json] == ["Sms"]
    broken("alerts", "--exit-code", code=1)
    assert "Mail: in maintenance until" in broken("alerts").out
    broken("maintenance", "add", "Sms", "--for", "1h")
    quiet = broken("alerts", "--exit-code").out
    assert "Mail: in maintenance until" in quiet and "Sms: in maintenance until" in quiet and "Next:" not in quiet
    assert broken("list").out.count("In maintenance until ") == 2
    rows = {row["name"]: row["maintenance_until"] for row in broken("list", "-o", "json").json}
    assert rows["Mail"] is not None and rows["Fine"] is None
    dashboard = broken("dashboard").out
    assert dashboard.count("In maintenance until ") == 2 and "Next:" not in dashboard and "🔴" not in dashboard
    assert broken("show", "Mail", "-o", "json").json["maintenance_until"] == rows["Mail"]


def test_all_of_them(broken: Intctl) -> None:
    """--all includes integrations that are added later."""
    broken("maintenance", "add", "--all", "--for", "30m")
    with connect(broken.target) as database:
        add_integration(database, "Later", status="error")
    assert broken("alerts", "--exit-code", "-o", "json").json == []
    (one,) = broken("maintenance", "list", "-o", "json").json
    assert (one["integration"], one["state"], one["weekly"], one["time_zone"]) == (None, "running", False, "UTC")


def test_maintenance_that_was_removed_before_it_began(broken: Intctl) -> None:
    """A window removed before its start is cancelled and keeps its planned times."""
    begins = f"{datetime.now(UTC) + timedelta(days=300):%Y-%m-%d} 01:00"
    broken("maintenance", "add", "Mail", "--from", begins, "--for", "2h", "--tz", "UTC")
    (planned,) = broken("maintenance", "list", "-o", "json").json
    assert planned["state"] == "planned"
    assert planned["id"][:8] in broken("maintenance", "remove", planned["id"]).out
    assert broken("maintenance", "list").out == "No maintenance is planned.\n"
    (cancelled,) = broken("maintenance", "list", "--past", "-o", "json").json
    assert cancelled == {**planned, "state": "cancelled"}
    assert begins.replace("01:00", "03:00") in broken("maintenance", "list", "--past", "--tz", "UTC").out


def test_maintenance_does_not_count_in_uptime(broken: Intctl) -> None:
    """A past window excludes its failures; erased, they count again; ended, they stay excluded."""
    (before,) = broken("metrics", "Mail", "-o", "json").json
    assert (before["uptime_percent"], len(before["incidents"])) == (0.0, 1)
    ago = _hours_ago(broken, 4)
    ran = broken("maintenance", "add", "Mail", "--from", ago, "--for", "6h")
    (during,) = broken("metrics", "Mail", "-o", "json").json
    assert (during["uptime_percent"], during["incidents"], during["down_seconds"]) == (None, [], 0)
    assert during["maintenance_seconds"] > 6900 and during["failures"] == 2
    id = ran.out.rpartition("Id: ")[2].strip()
    assert "ended" in broken("maintenance", "remove", id).out
    assert broken("maintenance", "list").out == "No maintenance is planned.\n"
    (over,) = broken("maintenance", "list", "--past", "-o", "json").json
    assert over["state"] == "over"
    assert broken("metrics", "Mail", "-o", "json").json[0]["maintenance_seconds"] > 6900
    assert "erased" in broken("maintenance", "remove", id, "--erase").out
    assert broken("metrics", "Mail", "-o", "json").json[0]["uptime_percent"] == 0.0
    broken("maintenance", "remove", id, code=3)


def _hours_ago(intctl: Intctl, hours: int) -> str:
    with connect(intctl.target) as database:
        found = database.row(f"SELECT {{after -{hours * 3600}}} AS then_at")
    assert found is not None
    return str(found["then_at"].isoformat())


def test_weekly_in_a_time_zone(broken: Intctl) -> None:
    """A weekly window keeps its local time of day; a day as --to means its end."""
    words = ("--from", "2030-03-24T02:30", "--to", "2030-03-24T05:00", "--weekly", "--tz", "Europe/Berlin")
    said = broken("maintenance", "add", "Fine", *words).out
    assert "from 2030-03-24 02:30 to 2030-03-24 05:00 (Europe/Berlin), every week" in said
    (one,) = broken("maintenance", "list", "Fine", "-o", "json").json
    assert (one["from"], one["to"]) == ("2030-03-24T01:30:00.000Z", "2030-03-24T04:00:00.000Z")
    assert (one["weekly"], one["time_zone"], one["state"]) == (True, "Europe/Berlin", "planned")
    assert broken("maintenance", "list", "Mail", "-o", "json").json == []
    assert "yes (Europe/Berlin)" in broken("maintenance", "list", "--tz", "Europe/Berlin").out
    broken("maintenance", "add", "Mail", "--from", "2030-01-01", "--to", "2030-01-01")
    (day,) = broken("maintenance", "list", "Mail", "-o", "json").json
    assert (day["from"], day["to"]) == ("2030-01-01T00:00:00.000Z", "2030-01-02T00:00:00.000Z")


def test_overlaps_are_refused(broken: Intctl) -> None:
    """Overlapping windows of one integration exit 4 and name the first; other integrations may overlap."""
    broken("maintenance", "add", "Mail", "--from", "2030-01-01T10:00", "--to", "2030-01-01T12:00")
    err = broken("maintenance", "add", "Mail", "--from", "2030-01-01T11:00", "--for", "2h", code=4).err
    assert "from 2030-01-01 10:00 to 2030-01-01 12:00" in err and "intctl maintenance remove" in err
    broken("maintenance", "add", "Mail", "--from", "2030-01-01T12:00", "--for", "1h")
    broken("maintenance", "add", "Sms", "--from", "2030-01-01T11:00", "--for", "2h")
    broken("maintenance", "add", "--all", "--from", "2030-01-01T11:00", "--for", "2h")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("Mail",), 2),
        (("Mail", "--all", "--for", "1h"), 2),
        (("Nobody", "--for", "1h"), 3),
        (("Mail", "--for", "1h", "--to", "2030-01-01"), 2),
        (("Mail", "--for", "0h"), 2),
        (("Mail", "--for", "1y"), 2),
        (("Mail", "--from", "2030-01-02", "--to", "2030-01-01"), 2),
        (("Mail", "--to", "2020-01-01"), 2),
        (("Mail", "--for", "32d"), 2),
        (("Mail", "--for", "7d", "--weekly"), 2),
        (("Mail", "--for", "999999d"), 2),
        (("Mail", "--from", "2090-01-01", "--for", "1h"), 2),
        (("Mail", "--from", "noon", "--for", "1h"), 2),
        (("Mail", "--for", "1h", "--tz", "Nowhere"), 2),
        (("Mail", "--from", "9999-12-31", "--for", "9d"), 2),
    ],
)
def test_what_makes_no_sense_is_refused(broken: Intctl, words: tuple[str, ...], code: int) -> None:
    """A usage error has a message, and nothing is planned."""
    ran = broken("maintenance", "add", *words, code=code)
    assert ran.out == "" and ran.err and "Traceback" not in ran.err
    assert broken("maintenance", "list", "--past", "-o", "json").json == []


def test_one_that_is_over_already_is_said_to_be(broken: Intctl) -> None:
    """A past window only excludes time from the figures."""
    ran = broken("maintenance", "add", "Mail", "--from", "2024-01-01", "--to", "2024-01-01")
    assert "in the past" in ran.err


def test_remove_wants_one(broken: Intctl) -> None:
    """remove accepts an id or a prefix: no match exits 3, several exit 2; a future window is cancelled."""
    ids = []
    for number in range(20):
        ran = broken("maintenance", "add", "Mail", "--from", f"2030-01-{number + 1:02}", "--for", "1h")
        ids.append(ran.out.rpartition("Id: ")[2].strip())
    twice = next(letter for letter in "0123456789abcdef" if sum(id.startswith(letter) for id in ids) > 1)
    assert "ambiguous" in broken("maintenance", "remove", twice, code=2).err
    broken("maintenance", "remove", "", code=3)
    broken("maintenance", "remove", "zzz", code=3)
    broken("maintenance", "remove", ids[0].upper())
    assert len(broken("maintenance", "list", "-o", "json").json) == 19


def test_it_goes_with_its_integration(broken: Intctl) -> None:
    """Maintenance of a deleted integration is not listed until it is restored."""
    broken("maintenance", "add", "Mail", "--for", "2h", "--reason", "evil\x1b[31m")
    broken("delete", "Mail", "--yes")
    assert broken("maintenance", "list").out == "No maintenance is planned.\n"
    broken("restore", "Mail")
    assert "evil[31m" in broken("maintenance", "list").out


def test_switching_off_and_on_is_known(broken: Intctl) -> None:
    """Disabled time is neither up nor down, and ends an outage."""
    broken("toggle", "Mail", "--off")
    with connect(broken.target) as database:
        database.run(
            "UPDATE integration_changes SET changed_at = {after -1800} WHERE changed_at > {after -600} AND NOT enabled"
        )
        assert integrations.find(database, ORG_ID, "Mail").status == "inactive"
    (one,) = broken("metrics", "Mail", "-o", "json").json
    assert one["inactive_seconds"] >= 1800
    assert one["incidents"][0]["end"] is not None
    assert one["down_seconds"] == pytest.approx(7000 - 1800, abs=60)
