"""Rows that another session of PostgreSQL, a portal, keeps locked: they delay only themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from intctl.db.connect import Database, connect
from intctl.db.url import Target
from intctl.health.outcome import Outcome
from intctl.keyring import Keyring, new_key
from intctl.store import claims, clock, transitions
from intctl.store import results as recording
from intctl.store.results import Result
from intctl.text import Secret

from ..conftest import database_url
from .test_claims import OK, REJECTED, add, due, schedule, shift
from .test_tokens import FIRST, ORIGIN, rows, store

#: What another session may do to the integration n0, and whether results of n0 can be recorded at the same time.
FOREIGN = {
    "foreign key": ("INSERT INTO portal_notes SELECT id FROM integrations WHERE name = 'n0'", True),
    "update": ("UPDATE integrations SET name = name WHERE name = 'n0'", False),
    "for update": ("SELECT 1 FROM integrations WHERE name = 'n0' FOR UPDATE", False),
    "delete": ("DELETE FROM integrations WHERE name = 'n0'", False),
    "schedule": (
        "UPDATE integration_schedules SET attempts = attempts WHERE integration_id = (SELECT id FROM "
        "integrations WHERE name = 'n0')",
        False,
    ),
}
LOCKING = [name for name, (_, free) in FOREIGN.items() if not free]
#: Locks of the row in integrations alone: the schedule, which is a row of intctl, is free.
OF_INTEGRATIONS = ["update", "for update"]
#: Less than any limit of the database on waiting for a lock: whoever waits for one exceeds it.
AT_ONCE_S = 2.5


@pytest.fixture
def target(postgresql_target: Target) -> Target:
    """SQLite has no row locks."""
    return postgresql_target


@pytest.fixture
def ids(target: Target, org_id: str) -> list[str]:
    """Twenty integrations, n0 to n19, and a table of a portal that refers to them."""
    with psycopg.connect(database_url(target), autocommit=True) as portal:
        portal.execute("CREATE TABLE portal_notes (integration_id uuid REFERENCES integrations(id))")
    return [add(target, org_id, f"n{n}") for n in range(20)]


@contextmanager
def locked(target: Target, how: str) -> Iterator[None]:
    """Keep a transaction of another session open during the block."""
    with psycopg.connect(database_url(target)) as portal:
        portal.execute(FOREIGN[how][0])
        yield
        portal.rollback()


@contextmanager
def at_once() -> Iterator[None]:
    """The block waits for no lock."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AT_ONCE_S


def write(database: Database, *results: Result) -> recording.Written:
    return recording.record(database, "a", results, check_type="scheduled", agent="host", deadline_s=20.0)


def hold_back(database: Database, owner: str, results: list[Result]) -> dict[str, str]:
    return recording.hold_back(database, owner, results, check_type="scheduled", deadline_s=20.0)


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("outcome", [OK, REJECTED])
@pytest.mark.parametrize("how", FOREIGN)
def test_a_locked_row_delays_only_its_own_result(
    database: Database, target: Target, ids: list[str], how: str, outcome: Outcome
) -> None:
    """Of twenty results, all but the locked one are recorded at once; that one keeps its lease."""
    results = [Result(one, outcome) for one in due(database, slots=50)]
    free = FOREIGN[how][1]
    with locked(target, how), at_once():
        written = write(database, *results)
    assert len(written.recorded) == (20 if free else 19)
    assert written.locked == (frozenset() if free else {ids[0]})
    again = write(database, *[result for result in results if result.claimed.id in written.locked])
    assert set(again.recorded) == set(written.locked)
    assert again.locked == frozenset()


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("how", LOCKING)
def test_a_lost_lease_is_not_a_locked_row(database: Database, target: Target, ids: list[str], how: str) -> None:
    """A result whose lease expired is dropped, although its row is locked as well."""
    results = [Result(one, OK) for one in due(database, slots=50)]
    shift(database, ids[0], "lease_expires_at", 100)
    with locked(target, how), at_once():
        written = write(database, *results)
    assert (len(written.recorded), written.locked) == (19, frozenset())


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("how", OF_INTEGRATIONS)
def test_a_result_is_held_back(database: Database, target: Target, ids: list[str], how: str) -> None:
    """The lease of a result that cannot be recorded is released: uncounted, refused logins counted, due in a minute."""
    results = [Result(one, REJECTED) for one in due(database, slots=1)]
    id = results[0].claimed.id
    assert id == ids[0]
    with locked(target, how), at_once():
        assert hold_back(database, "b", results) == {}
        assert hold_back(database, "a", results) == {id: "n0"}
        assert hold_back(database, "a", results) == {}
    held = schedule(database, id)
    assert (held["lease_owner"], held["attempts"], held["rejections"], held["lease_token"]) == (None, 0, 1, 1)
    wait = database.row(
        "SELECT next_check_at - {now} AS wait FROM integration_schedules WHERE integration_id = :id", {"id": id}
    )
    assert wait is not None
    assert 50 < wait["wait"].total_seconds() <= 60
    assert database.rows("SELECT 1 FROM integration_health_logs") == []


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("how", LOCKING)
@pytest.mark.parametrize(
    "work",
    [
        lambda database, id: claims.claim_one(database, "b", id, deadline_s=20.0),
        lambda database, id: claims.give_back(database, "a", [id]),
        lambda database, _id: claims.give_back_unknown(database, "a", []),
        lambda database, id: claims.pull_forward(database, [claims.Ahead(id, 0, 0)]),
        lambda database, _id: recording.set_aside(database, agent="host"),
        lambda database, _id: due(database),
    ],
    ids=["claim one", "give back", "give back unknown", "pull forward", "set aside", "claim due"],
)
def test_no_statement_of_the_agent_waits_for_a_foreign_lock(
    database: Database,
    target: Target,
    ids: list[str],
    how: str,
    work: Callable[[Database, str], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every statement of a pass skips a locked row, and succeeds when the lock has ended."""
    monkeypatch.setattr(claims, "_GIVE_BACK_TRIES_S", 0.3)
    database.run("UPDATE integration_schedules SET attempts = 3")
    database.run("UPDATE integration_schedules SET lease_owner = 'a', lease_expires_at = {after -5}")
    with locked(target, how), at_once():
        work(database, ids[0])
    work(database, ids[0])


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("how", LOCKING)
def test_a_stuck_row_is_paused_when_its_lock_has_ended(
    database: Database, target: Target, ids: list[str], how: str
) -> None:
    """A locked row does not keep the others from being paused."""
    database.run("UPDATE integration_schedules SET attempts = 3")
    with locked(target, how), at_once():
        assert recording.set_aside(database, agent="host") == 19
    assert recording.set_aside(database, agent="host") == 1
    assert ids


@pytest.mark.case("reliability 1")
def test_a_lease_is_given_back_when_a_short_lock_ends(database: Database, target: Target, ids: list[str]) -> None:
    """A lease that is not given back is in the way for a minute, so a locked row is tried again for some seconds."""
    due(database, "a", slots=50)
    with ThreadPoolExecutor(1) as threads:
        with locked(target, "schedule"):
            given_back = threads.submit(claims.give_back, database, "a", ids)
            time.sleep(0.3)
            assert not given_back.done()
        assert given_back.result() == 20


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("how", LOCKING)
def test_transitions_of_a_locked_row_delay_no_other(
    database: Database, target: Target, ids: list[str], how: str
) -> None:
    """Holding back, dropping and pruning transitions wait for no integration that another session is deleting."""
    results = [Result(one, REJECTED) for one in due(database, slots=50)]
    write(database, *results)
    waiting = transitions.waiting(database)
    assert len(waiting) == 20
    with locked(target, how), at_once():
        for one in waiting:
            transitions.quieten(database, one.id, clock.now(database))
            transitions.drop(database, one.id)
        database.run(
            "UPDATE integration_transitions SET told_at = {after -9000000} WHERE integration_id <> :id", {"id": ids[0]}
        )
        assert transitions.prune(database) == 19
    assert {one.integration_id for one in transitions.waiting(database)} <= {ids[0]}


# --- tokens --------------------------------------------------------------------------------------


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([new_key()], "the test")


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("how", LOCKING)
def test_no_token_is_spent_while_its_row_is_locked(
    database: Database, target: Target, keyring: Keyring, org_id: str, ids: list[str], how: str
) -> None:
    """A reservation is refused at once while another session has locked the row, and granted afterwards."""
    tokens = store(database, keyring, org_id, ids[0])
    with locked(target, how), at_once():
        assert tokens.reserve() == (False, None)
    assert rows(database) == []
    free, placed = tokens.reserve()
    assert free
    assert placed is not None
    assert placed.refresh_token == placed.origin == ORIGIN
    assert tokens.reserve() == (True, None)
    assert tokens.load() == placed


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("how", ["foreign key", *OF_INTEGRATIONS])
def test_a_token_is_saved_while_its_integration_is_locked(
    database: Database, target: Target, keyring: Keyring, org_id: str, ids: list[str], how: str
) -> None:
    """A lock that begins during the exchange delays no save, of the first successor or a later one."""
    tokens = store(database, keyring, org_id, ids[0])
    _, placed = tokens.reserve()
    with locked(target, how), at_once():
        first = tokens.save(FIRST, placed)
        second = tokens.save(replace(FIRST, refresh_token=Secret("refresh-2")), first)
    assert tokens.load() == second
    assert len(rows(database)) == 1


@pytest.mark.case("reliability 1")
def test_a_reservation_is_no_token(
    database: Database, target: Target, keyring: Keyring, org_id: str, ids: list[str]
) -> None:
    """What another process saved since is kept, and a draft with a reservation only can still be withdrawn."""
    tokens = store(database, keyring, org_id, ids[0])
    assert tokens.save(FIRST, None) == FIRST
    assert tokens.reserve() == (True, None)
    assert tokens.load() == FIRST
    draft = add(target, org_id, "Draft", status="inactive", config_version=0, due="never")
    drafted = store(database, keyring, org_id, draft)
    assert drafted.reserve()[0]
    assert drafted.withdraw_draft()


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("how", LOCKING)
def test_a_locked_draft_is_left(database: Database, target: Target, keyring: Keyring, org_id: str, how: str) -> None:
    """A draft whose row is locked is not removed, and removing it waits for no lock."""
    with psycopg.connect(database_url(target), autocommit=True) as portal:
        portal.execute("CREATE TABLE portal_notes (integration_id uuid REFERENCES integrations(id))")
    id = add(target, org_id, "n0", status="inactive", config_version=0, due="never")
    with locked(target, how), at_once():
        assert not store(database, keyring, org_id, id).withdraw_draft()
    with connect(target) as later:
        assert store(later, keyring, org_id, id).withdraw_draft()
