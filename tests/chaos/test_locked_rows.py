"""Rows that a portal keeps locked for minutes: the agent's passes succeed, and every other integration is checked.

Three integrations are locked: one that works, one whose password became wrong, and one whose provider replaces its
refresh token at each use.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta

import psycopg
import pytest

from intctl.agent import Summary
from intctl.db.connect import connect
from intctl.db.url import Target

from ..agent_rig import Fleet, Host, finished
from ..cli.test_oauth import SECRETS, Vendor, serving
from ..conftest import database_url

pytestmark = pytest.mark.case("reliability 1")

#: What a portal may do to a row of `integrations` in a transaction that it leaves open.
LOCKS = {
    "foreign key": "INSERT INTO portal_notes SELECT id FROM integrations WHERE name = %s",
    "update": "UPDATE integrations SET name = name WHERE name = %s",
    "for update": "SELECT 1 FROM integrations WHERE name = %s FOR UPDATE",
    "delete": "DELETE FROM integrations WHERE name = %s",
}
#: Locks of the integration's row alone.
OF_ROWS = ("update", "for update")
#: A minute passes for the rows that are not locked.
A_MINUTE_LATER = """
UPDATE integration_schedules SET next_check_at = next_check_at - interval '1 minute' WHERE integration_id IN (
  SELECT integration_id FROM integration_schedules FOR UPDATE SKIP LOCKED)"""
#: How long the whole proof keeps its rows locked, in seconds.
LONG_S = 600.0
INTERVAL_S = 60.0


@pytest.fixture
def target(postgresql_target: Target) -> Target:
    """SQLite has no row locks."""
    return postgresql_target


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with serving(Vendor("microsoft", rotating=True)) as made:
        yield made


def fill(fleet: Fleet, provider: Host, vendor: Vendor, names: Sequence[str]) -> None:
    """Add integrations with an interval of a minute, the rotating one first; check each once."""
    add = fleet.start("add", "oauth", "-f", "-", stdin=vendor.manifest(), **SECRETS)
    assert finished(add)[0] == 0
    fleet.add({name: f"{provider.url}/{name}" for name in names}, minutes=1, auth="bearer", token="token-0123456789")
    with connect(fleet.target) as database:
        database.run("UPDATE integrations SET health_check_interval_minutes = 1")
        database.run("CREATE TABLE portal_notes (integration_id uuid REFERENCES integrations(id))")
    fleet.all_due()
    fleet.once()


@contextmanager
def locked(target: Target, locks: Mapping[str, str]) -> Iterator[None]:
    """Keep these locks during the block, by name of the integration, each in a session of its own."""
    with ExitStack() as sessions:
        for name, how in locks.items():
            session = psycopg.connect(database_url(target))
            sessions.callback(session.close)
            sessions.callback(session.rollback)  # awaited, unlike what the server does when a connection closes
            session.execute(LOCKS[how], [name])
        yield


def counts(fleet: Fleet) -> dict[str, int]:
    found: dict[str, int] = {}
    for log in fleet.logs():
        found[log["name"]] = found.get(log["name"], 0) + 1
    return found


@pytest.mark.parametrize("how", LOCKS)
def test_a_locked_row_is_in_no_way_of_the_others(fleet: Fleet, provider: Host, vendor: Vendor, how: str) -> None:
    """Two passes during the lock record all others; the first pass after it records the locked ones."""
    names = [f"n{number:02}" for number in range(20)]
    fill(fleet, provider, vendor, ["refused", *names])
    provider.behaviour["/refused"] = ["401"]
    before = counts(fleet)

    def minute() -> Summary:
        with connect(fleet.target) as database:
            database.run(A_MINUTE_LATER)
        return fleet.once()

    three = ["n00", "refused", "Calendar"]
    with locked(fleet.target, dict.fromkeys(three, how)):
        passes = [minute() for _ in range(2)]
        during = counts(fleet)
    for summary in passes:
        # The schedule of a row that is being deleted is locked as well: nothing claims it.
        assert sorted(summary.held_back.values()) == (sorted(three) if how in OF_ROWS else [])
        assert (summary.lost, summary.set_aside) == (0, 0)
    waiting = [] if how == "foreign key" else three
    checked = {name: during[name] - before[name] for name in during if name != "refused" or waiting}
    assert checked == {name: 0 if name in waiting else 2 for name in checked}
    minute()
    after = counts(fleet)
    assert all(after[name] == during[name] + 1 for name in waiting)
    assert provider.hits["/refused"] <= 1 + 3  # one before the password became wrong
    assert fleet.statuses() == {"refused": "error", **dict.fromkeys([*names, "Calendar"], "active")}
    assert fleet.leases() == [(False, 0)] * 22
    assert vendor.dead == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["service", "timer"])
def test_ten_minutes_of_locked_rows(fleet: Fleet, provider: Host, vendor: Vendor, how: str) -> None:
    """400 integrations at a minute; each way locks one for ten minutes; so are a grant and a wrong password."""
    names = [f"n{number:03}" for number in range(398)]
    fill(fleet, provider, vendor, ["refused", *names])
    provider.behaviour["/refused"] = ["401"]
    victims = {**dict(zip(names, LOCKS, strict=False)), "refused": "update", "Calendar": "for update"}
    service = fleet.start("agent", "--every", "5") if how == "service" else None
    passes: list[int] = []

    def wait_for(seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            began = time.monotonic()
            if service is None:
                passes.append(finished(fleet.start("agent", "--once"))[0])
            time.sleep(max(0.0, min(began + INTERVAL_S, ends) - time.monotonic()))

    wait_for(INTERVAL_S)
    with locked(fleet.target, victims):
        began = _now(fleet)
        wait_for(LONG_S)
        ended = _now(fleet)
        if service is not None:
            assert service.poll() is None
        status = finished(fleet.start("agent", "status"))
        held_back = sorted(name for name, lock in victims.items() if lock in OF_ROWS)
        assert f": {', '.join(sorted(held_back))}." in status[2]
        assert status[0] == 0
    wait_for(INTERVAL_S + 5)
    last = _now(fleet)
    if service is not None:
        service.send_signal(signal.SIGTERM)
        passes.append(finished(service)[0])
    assert set(passes) == {0}
    times = _times(fleet)
    gaps = {name: _longest(sorted(found), last) for name, found in times.items()}
    held = {name for name, lock in victims.items() if lock != "foreign key"}
    assert max(gap for name, gap in gaps.items() if name not in held) <= 2 * INTERVAL_S
    for name in held:
        assert any(ended < at <= ended + timedelta(seconds=INTERVAL_S + 5) for at in times[name]), name
    for name, lock in victims.items():
        if lock in OF_ROWS:
            assert not any(began + timedelta(seconds=10) < at < ended for at in times[name]), name
    codes = fleet.rows("SELECT DISTINCT metadata->>'code' AS code FROM integration_health_logs")
    assert {row["code"] for row in codes} <= {"ok", "http.auth.rejected", "self.row_locked"}
    assert fleet.statuses() == {"refused": "error", **dict.fromkeys([*names, "Calendar"], "active")}
    assert provider.hits["/refused"] <= 1 + 3 + 1  # one before the password became wrong, one before the lock
    assert vendor.dead == 0
    assert finished(fleet.start("check", "Calendar"))[0] == 0
    print(f"{how}: {len(passes)} passes, longest gap {max(gaps[n] for n in names if n not in held):.1f} s")


def _now(fleet: Fleet) -> datetime:
    (row,) = fleet.rows("SELECT {now} AS at")
    found: datetime = row["at"]
    return found


def _times(fleet: Fleet) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = {}
    for row in fleet.rows(
        "SELECT i.name, l.checked_at FROM integration_health_logs l JOIN integrations i ON i.id = l.integration_id"
    ):
        found.setdefault(row["name"], []).append(row["checked_at"])
    return found


def _longest(times: Sequence[datetime], last: datetime) -> float:
    """The longest time without a check, in seconds."""
    return max((two - one).total_seconds() for one, two in zip(times, [*times[1:], last], strict=True))
