"""Folding and deleting: the figures do not change, even if a process is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intctl.db.connect import Database, connect
from intctl.db.url import POSTGRESQL, SQLITE, Target
from intctl.metrics import report, retention
from intctl.metrics.figures import KEYS, Report
from intctl.metrics.report import Window
from intctl.render.rows import shape
from intctl.store import changes, clock, history, integrations, logs, organization_changes
from intctl.store import retention as steps
from intctl.store.history import DAY_S, time_at

from ..conftest import ORG_ID, database_url
from ..test_metrics import add_integration, add_log
from . import oracle

BERLIN = ZoneInfo("Europe/Berlin")
#: Around the nights in which the clocks change, in both directions.
NIGHTS = (datetime(2024, 3, 31, tzinfo=BERLIN), datetime(2024, 10, 27, tzinfo=BERLIN))


@pytest.fixture
def database(target: Target) -> Iterator[Database]:
    with connect(target) as opened:
        yield opened


def put(database: Database, id: str, checks: list[tuple[float, str]], code: str = "http.server_error") -> None:
    """Health logs at these moments (seconds since 1970)."""
    for number, (at, status) in enumerate(checks):
        database.run(
            "INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, checked_at,"
            " metadata) VALUES (:log, :id, 'scheduled', :status, :ms, :at, :metadata)",
            {
                "log": str(uuid.uuid4()),
                "id": id,
                "status": status,
                "ms": 100 + number % 900,
                "at": time_at(at),
                "metadata": {"code": "ok" if status == "success" else code},
            },
        )


def figures(database: Database, start: float, end: float, id: str | None = None) -> list[Report]:
    """The reports of a past window."""
    now = clock.now(database)
    window = Window.of("custom", time_at(start), time_at(end), now)
    return report.metrics(database, ORG_ID, window, id=id)


def count(database: Database, table: str = "integration_health_logs") -> int:
    found = database.row(f"SELECT count(*) AS n FROM {table}")
    assert found is not None
    return int(found["n"])


# --- uptime, three times


@st.composite
def histories(draw: st.DrawFn) -> tuple[Any, ...]:
    """A few days around a change of the clocks: checks in any order, switches, maintenance, a window of local days."""
    night = draw(st.sampled_from(NIGHTS))
    begin = (night - timedelta(days=2)).timestamp()
    statuses = st.sampled_from(["success", "success", "failure", "unknown"])
    moment = st.integers(0, 5 * DAY_S * 1000).map(lambda ms: begin + ms / 1000)
    checks = draw(st.lists(st.tuples(moment, statuses), min_size=1, max_size=30))
    if draw(st.booleans()):  # as a timer makes them, with gaps, and with the clock set back once
        chance = random.Random(draw(st.integers(0, 10**6)))
        at = begin
        while at < begin + 4 * DAY_S:
            at += chance.choice([270, 300, 300, 1200, 9000])
            checks.append((at, chance.choice(["success"] * 5 + ["failure"] * 3 + ["unknown"])))
            if chance.random() < 0.01:
                at -= 5000
    checks = [(round(at, 3), status) for at, status in checks]
    intervals = st.sampled_from([5, 15, 60])
    switched = st.tuples(moment, st.booleans(), intervals, st.integers(1, 2))
    switches = sorted({round(one[0], 3): one for one in draw(st.lists(switched, max_size=3))}.items())
    ranges = draw(st.lists(st.tuples(moment, st.integers(60, 90_000)), max_size=2))
    maintenance = [(round(start, 3), round(start, 3) + length) for start, length in ranges]
    first = draw(st.integers(-2, 1))
    days = draw(st.integers(1, 3))
    start = (night + timedelta(days=first)).astimezone(UTC).timestamp()
    end = (night + timedelta(days=first + days)).astimezone(UTC).timestamp()
    return checks, [(at, *rest) for at, (_, *rest) in switches], maintenance, start, end


def stored(database: Database, found: tuple[Any, ...]) -> str:
    """An integration with that history in an otherwise empty database; its id."""
    checks, switches, maintenance, *_ = found
    for table in ("integrations", "integration_health_days", "maintenance_windows", "history_progress"):
        database.run(f"DELETE FROM {table}")
    id = add_integration(database, "One", created_at=datetime(2020, 1, 1, tzinfo=UTC))
    with database.transaction():
        put(database, id, checks)
        for at, enabled, minutes, version in switches:
            database.run(
                "INSERT INTO integration_changes VALUES (:id, :at, :enabled, :minutes, :version)",
                {"id": id, "at": time_at(at), "enabled": enabled, "minutes": minutes, "version": version},
            )
        for start, end in maintenance:
            database.run(
                "INSERT INTO maintenance_windows (id, org_id, integration_id, starts_at, ends_at, weekly, time_zone)"
                " VALUES (:window, :org, :id, :start, :end, :weekly, 'UTC')",
                {
                    "window": str(uuid.uuid4()),
                    "org": ORG_ID,
                    "id": id,
                    "start": time_at(start),
                    "end": time_at(end),
                    "weekly": False,
                },
            )
    return id


def hold_to_the_definition(target: Target, found: tuple[Any, ...]) -> None:
    checks, switches, maintenance, start, end = found
    changes_ = [(at, on, minutes * 60.0, version) for at, on, minutes, version in switches]
    expected = oracle.uptime(checks, changes_, 300.0, maintenance, start, end)
    with connect(target) as database:
        id = stored(database, found)
        before = None
        for step in ("read", "folded", "deleted"):
            if step == "folded":
                assert retention.roll_up(database)
            elif step == "deleted":
                assert retention.prune(database, ORG_ID, 90)
                assert count(database) <= 2
            (one,) = figures(database, start, end, id)
            assert (one.up_seconds, one.down_seconds) == pytest.approx((expected.up, expected.down), abs=1), step
            assert one.up_seconds + one.down_seconds + one.unknown_seconds == pytest.approx(expected.counted, abs=2)
            assert one.uptime_percent is None or 0 <= one.uptime_percent <= 100
            if step == "folded":
                assert one == before
            if step == "deleted":  # only the counts of the days at the edges are coarser
                timed = [key for key in KEYS if "seconds" in key or key in ("uptime_percent", "history", "incidents")]
                assert before is not None and shape(one, timed) == shape(before, timed)
            before = one


SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(found=histories())
@settings(SETTINGS, max_examples=12)
def test_uptime_agrees_to_a_second(target: Target, found: tuple[Any, ...]) -> None:
    """Uptime agrees with its definition over random histories and clock changes: read, folded and deleted."""
    hold_to_the_definition(target, found)


@pytest.mark.slow
@given(found=histories())
@settings(SETTINGS, max_examples=600)
def test_uptime_agrees_to_a_second_for_long(target: Target, found: tuple[Any, ...]) -> None:
    """The same over many more histories."""
    hold_to_the_definition(target, found)


# --- folding


@pytest.fixture
def old(database: Database) -> tuple[float, float]:
    """Two integrations, checked every 10 minutes for four days, 200 days ago. Returns the start and the end."""
    start = (clock.now(database) - timedelta(days=200)).timestamp() // DAY_S * DAY_S
    for name in ("One", "Two"):
        id = add_integration(database, name, created_at=time_at(start))
        with database.transaction():
            put(
                database,
                id,
                [
                    (
                        start + 600 * turn,
                        "failure" if turn % 50 in (7, 8) else "unknown" if turn % 60 == 5 else "success",
                    )
                    for turn in range(4 * 144)
                ],
            )
    return start, start + 4 * DAY_S


def test_the_figures_stay_when_days_are_folded_and_deleted(database: Database, old: tuple[float, float]) -> None:
    """Counts, response times, uptime, incidents with their causes: the same before, folded, and deleted."""
    before = figures(database, *old)
    assert before[0].failures == 24 and before[0].incidents[0].code == "http.server_error"
    assert retention.roll_up(database) and retention.roll_up(database)
    assert (count(database), count(database, "integration_health_days")) == (1152, 8)
    assert figures(database, *old) == before
    assert retention.prune(database, ORG_ID, 90)
    assert figures(database, *old) == before
    assert count(database) == 2  # the newest check, a success, of each
    assert integrations.find(database, ORG_ID, "One").last_success_at is not None


def test_a_part_of_a_day_whose_checks_are_gone(database: Database, old: tuple[float, float]) -> None:
    """Time is still exact, counts are those of the whole day, and the report says so."""
    start, end = old[0] + DAY_S / 2, old[1] - DAY_S / 2
    retention.roll_up(database)
    before, _ = figures(database, start, end)
    retention.prune(database, ORG_ID, 90)
    after, _ = figures(database, start, end)
    assert (before.whole_days_before, after.whole_days_before) == (None, time_at(old[1]))
    assert (after.up_seconds, after.incidents) == (before.up_seconds, before.incidents)
    assert (before.checks, after.checks) == (3 * 144, 4 * 144)


def test_a_day_is_folded_when_nothing_of_it_can_change(database: Database) -> None:
    """A day is folded three hours after its end at the earliest; days without a check are skipped."""
    now = clock.now(database).timestamp()
    closed = (now - 3 * 3600) // DAY_S * DAY_S
    id = add_integration(database, "One")
    put(database, id, [(closed - 1, "success"), (closed, "success"), (now, "success"), (DAY_S * 3.5, "success")])
    assert retention.roll_up(database)
    starts = [day["starts_at"].timestamp() for day in database.rows("SELECT * FROM integration_health_days ORDER BY 2")]
    assert starts == [3 * DAY_S, closed - DAY_S]
    assert history.folded_before(database) == closed
    retention.prune(database, ORG_ID, 2)
    assert retention.roll_up(database) and count(database, "integration_health_days") == 2


def test_what_holds_past_midnight_is_in_the_next_day(database: Database) -> None:
    """The time of a late check counts to its end, even if the next day has no check of its own."""
    start = (clock.now(database) - timedelta(days=20)).timestamp() // DAY_S * DAY_S
    id = add_integration(database, "One", health_check_interval_minutes=60, created_at=time_at(start))
    put(database, id, [(start + 23 * 3600, "success")])
    assert retention.roll_up(database)
    (one,) = figures(database, start, start + 2 * DAY_S)
    assert one.up_seconds == 7200
    assert count(database, "integration_health_days") == 2


def test_folding_stops_when_its_time_is_over_and_goes_on(database: Database, old: tuple[float, float]) -> None:
    """Folding in steps, by any agent, gives the same days as folding at once."""
    before = figures(database, *old)
    turns = 0
    while not retention.roll_up(database, iter([False, True] * 100).__next__):
        turns += 1
        assert turns < 50
    assert turns >= 3
    assert figures(database, *old) == before


def test_two_who_fold_write_once(database: Database, old: tuple[float, float]) -> None:
    """A slower process writes nothing: the progress is compared when it is moved."""
    assert steps.progress(database) == (None, None)
    day = retention.folded(database, [database.rows("SELECT id FROM integrations")[0]["id"]], old[0])
    moved = {"reached": (None, None), "then": (old[0] + DAY_S, None)}
    assert steps.add_days(database, day, **moved)  # type: ignore[arg-type]
    assert not steps.add_days(database, day, **moved)  # type: ignore[arg-type]
    assert count(database, "integration_health_days") == 1
    other = {"reached": (old[0] + DAY_S, "x"), "then": (old[1], None)}
    if database.dialect == SQLITE:
        assert not steps.add_days(database, day, **other)


def test_what_comes_late_is_not_lost(database: Database, old: tuple[float, float]) -> None:
    """A late check of a folded day (the clock was set back) is folded in before the day is deleted."""
    retention.roll_up(database)
    one = database.rows("SELECT id FROM integrations ORDER BY name")[0]["id"]
    put(database, one, [(old[0] + 3700, "failure"), (old[0] + 3701, "success")])
    retention.prune(database, ORG_ID, 90)
    found, other = figures(database, *old)
    assert (found.failures, found.checks) == (25, 578) and other.checks == 576


def test_a_long_day_is_deleted_in_pieces(database: Database) -> None:
    """A day with more checks than a batch loses none, and the figures are correct in between."""
    start = (clock.now(database) - timedelta(days=200)).timestamp() // DAY_S * DAY_S
    id = add_integration(database, "One", created_at=time_at(start))
    with database.transaction():
        put(database, id, [(start + 30 * turn, "success") for turn in range(900)])
    retention.roll_up(database)
    before = figures(database, start, start + DAY_S)
    batches, seen = retention.Batches(), []

    def deleted(rows: int) -> None:
        seen.append(rows)
        assert figures(database, start, start + DAY_S) == before

    retention.prune(database, ORG_ID, 90, deleted=deleted, batches=batches)
    assert sum(seen) == 899 and len(seen) >= 2
    assert database.row("SELECT rows_left FROM integration_health_days") == {"rows_left": "none"}


def test_batches_grow_and_shrink_with_the_time_they_take() -> None:
    """A slow batch makes the next smaller at once, quick full ones make it larger; between two bounds."""
    batches = retention.Batches()
    batches.took(0.4, batches.rows)
    assert batches.rows == 20
    batches.took(0.01, 1)
    assert batches.rows == 20  # it was not full, so it says nothing
    for _ in range(50):
        batches.took(0.001, batches.rows)
    assert batches.rows == 5_000
    batches.took(0.08, 5_000)
    assert batches.rows == 2_500


def test_what_is_kept_is_kept(database: Database, old: tuple[float, float]) -> None:
    """The last success and the newest check of an integration are kept, however old."""
    one = database.rows("SELECT id FROM integrations ORDER BY name")[0]["id"]
    put(database, one, [(old[1] + 600 * turn, "failure") for turn in range(100)])
    retention.roll_up(database)
    retention.prune(database, ORG_ID, 90)
    left = logs.newest(database, ORG_ID, id=one)
    assert [row.status for row in left] == ["failure", "success"]
    assert left[0].checked_at.timestamp() == old[1] + 99 * 600


def test_each_organisation_keeps_what_it_chose(database: Database, old: tuple[float, float], target: Target) -> None:
    """An organisation's retention_days, by default 90, apply only to its own checks."""
    other = "0b0b0b0b-0000-4000-8000-00000000beef"
    database.run("INSERT INTO organizations (id, name, slug) VALUES (:id, 'Other', 'other')", {"id": other})
    theirs = add_integration(database, "Theirs", other)
    put(database, theirs, [(old[0] + 600 * turn, "success") for turn in range(10)])
    with changes.unit_of_work(target) as session:
        organization_changes.set_retention(session, org_id=ORG_ID, days=10)
        organization_changes.set_retention(session, org_id=ORG_ID, days=365)
    assert sorted(steps.retentions(database)) == [(ORG_ID, 365), (other, 90)]
    assert retention.maintain_history(database) == ""
    assert (count(database), len(logs.newest(database, ORG_ID, limit=2000))) == (1153, 1152)


# --- a turn of the agent


def test_a_turn_is_taken_once(database: Database, target: Target, old: tuple[float, float]) -> None:
    """A turn that is not due, or held by another process, does nothing; a clock set back delays it only briefly."""
    assert steps.is_due(database) and steps.claim(database, 300)
    with connect(target) as other:
        assert not steps.is_due(other) and not steps.claim(other, 300)
        assert retention.maintain_history(other) == "" and count(other, "integration_health_days") == 0
    steps.give_back(database, 0)
    assert retention.maintain_history(database) == ""
    assert (count(database, "integration_health_days"), count(database)) == (8, 2)
    assert not steps.is_due(database)
    database.run("UPDATE history_progress SET next_at = {after 200000}")
    assert steps.is_due(database) and steps.claim(database, 300)


def test_a_turn_is_bounded(database: Database, old: tuple[float, float]) -> None:
    """Without time left, a turn does nothing more and is due again at once."""
    assert retention.maintain_history(database, budget_s=-1) == ""
    assert count(database, "integration_health_days") == 0 and steps.is_due(database)


def test_a_turn_never_raises(database: Database, old: tuple[float, float]) -> None:
    """A failed turn returns one line and is retried later; the recorded pass is not affected."""
    steps.is_due(database)
    database.run("ALTER TABLE integration_health_days RENAME TO gone")
    said = retention.maintain_history(database)
    assert "resumes later" in said and "intctl init" in said and "\n" not in said
    assert not steps.is_due(database)
    database.run("DROP TABLE history_progress")
    assert "resumes later" in retention.maintain_history(database)


# --- kills and locks


def test_a_kill_loses_and_doubles_nothing(
    database: Database, old: tuple[float, float], target: Target, tmp_path: Any
) -> None:
    """Killed at random moments and started again, folding and deleting end with the same figures."""
    before = figures(database, *old)
    script = (
        "import sys\nfrom intctl.metrics import retention\n"
        "from intctl.db.connect import connect\nfrom intctl.db.url import parse_url\n"
        "batches = retention.Batches()\nbatches.took = lambda seconds, rows: None\nbatches.rows = 30\n"
        "with connect(parse_url(sys.argv[1], 'argv')) as database:\n"
        "    print('up', flush=True)\n"
        f"    retention.roll_up(database)\n    retention.prune(database, {ORG_ID!r}, 90, batches=batches)\n"
    )
    chance, killed = random.Random(3), 0
    for _ in range(8):
        command = [sys.executable, "-c", script, database_url(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"up\n"
            time.sleep(chance.uniform(0, 0.25))
            process.send_signal(signal.SIGKILL)
            killed += process.wait(60) == -signal.SIGKILL
        assert figures(database, *old) == before
    assert killed
    assert retention.roll_up(database) and retention.prune(database, ORG_ID, 90)
    assert (figures(database, *old), count(database)) == (before, 2)


def test_others_write_meanwhile(database: Database, old: tuple[float, float], target: Target) -> None:
    """While old checks are deleted, another connection can always write."""
    retention.roll_up(database)
    stop, written = threading.Event(), []

    def write() -> None:
        with connect(target) as other:
            while not stop.is_set():
                written.append(other.run("UPDATE integrations SET last_health_check = {now}"))
                stop.wait(0.02)  # a writer without pauses would starve all others on SQLite

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert retention.prune(database, ORG_ID, 90)
    finally:
        stop.set()
        writer.join()
    assert written and set(written) == {2}


def test_a_checks_time_may_be_missing(database: Database) -> None:
    """Another program's row without a time is in no day and causes no error."""
    id = add_integration(database, "One")
    add_log(database, id, "success", 5, seconds_ago=200 * DAY_S)
    database.run("UPDATE integration_health_logs SET checked_at = NULL")
    assert retention.roll_up(database) and retention.prune(database, ORG_ID, 90)
    assert count(database) == 1
    assert database.dialect in (SQLITE, POSTGRESQL)
