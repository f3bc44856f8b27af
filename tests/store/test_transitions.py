"""The outbox on both databases: written with the status, reported once and in order, again only after a kill."""

from __future__ import annotations

from typing import Any

import pytest

from intctl.db.connect import Database, connect
from intctl.db.url import POSTGRESQL, SQLITE, Target
from intctl.errors import StoreError
from intctl.health.outcome import Outcome
from intctl.store import changes, results, transitions
from intctl.store.results import Result
from intctl.store.transitions import Failure, Transition

from .. import agent_rig as rig
from .test_claims import OK, REJECTED, TIMEOUT, add, due, record, shift

DEGRADED = Outcome("http.rate_limited", "api")
UNKNOWN = Outcome("self.no_network", "tcp")


def check(database: Database, outcome: Outcome, check_type: str = "scheduled") -> None:
    """Record one check of every enabled integration."""
    for found in database.rows("SELECT integration_id FROM integration_schedules"):
        shift(database, found["integration_id"], "next_check_at", 7200)
    claimed = due(database)
    assert claimed
    record(database, "a", *[Result(one, outcome) for one in claimed], check_type=check_type)


def written(database: Database) -> list[tuple[Any, ...]]:
    rows = database.rows("SELECT * FROM integration_transitions ORDER BY changed_at, id")
    return [(row["from_status"], row["to_status"], row["verdict"], row["code"]) for row in rows]


def take(database: Database, owner: str = "a", limit: int = 10, **options: Any) -> list[Transition]:
    return transitions.claim(database, owner, limit=limit, lease_s=40.0, **options)


def later(database: Database, seconds: int, column: str = "lease_expires_at") -> None:
    """Let time pass for all transitions."""
    rig.shift(database, column, seconds, "integration_transitions")


# --- written


def test_what_falls_into_error_and_what_leaves_it_is_written_once(
    database: Database, target: Target, org_id: str
) -> None:
    """Each change of status adds one row with the finding; an unchanged status adds none."""
    add(target, org_id)
    for outcome in (OK, REJECTED, REJECTED, UNKNOWN, OK, DEGRADED):
        check(database, outcome)
    assert written(database) == [
        ("active", "error", "misconfigured", "smtp.auth.rejected"),
        ("error", "active", "healthy", "ok"),
    ]


def test_the_second_time_out_is_the_change(database: Database, target: Target, org_id: str) -> None:
    """A single timeout changes no status and adds no transition."""
    add(target, org_id)
    check(database, TIMEOUT)
    assert written(database) == []
    check(database, TIMEOUT)
    assert written(database) == [("active", "error", "down", "connect.timeout")]


def test_a_persons_check_is_written_too(database: Database, target: Target, org_id: str) -> None:
    """A check on demand adds a transition, too."""
    add(target, org_id)
    check(database, TIMEOUT, "manual")
    assert written(database) == [("active", "error", "down", "connect.timeout")]


def test_neither_is_there_without_the_other(database: Database, target: Target, org_id: str) -> None:
    """If the transition can't be written, neither the status nor the result is."""
    id = add(target, org_id)
    (claimed,) = due(database)
    database.run("DROP TABLE integration_transitions")
    with pytest.raises(StoreError):
        record(database, "a", Result(claimed, REJECTED))
    assert database.row("SELECT status FROM integrations WHERE id = :id", {"id": id}) == {"status": "active"}
    assert database.rows("SELECT id FROM integration_health_logs") == []


def test_an_edit_meanwhile_changes_no_status_and_is_not_told(database: Database, target: Target, org_id: str) -> None:
    """A finding about an earlier config is no transition."""
    id = add(target, org_id)
    (claimed,) = due(database)
    database.run("UPDATE integrations SET config_version = 2 WHERE id = :id", {"id": id})
    record(database, "a", Result(claimed, REJECTED))
    assert written(database) == []


def test_a_lost_lease_tells_nothing(database: Database, target: Target, org_id: str) -> None:
    """A result that is dropped is no transition."""
    add(target, org_id)
    (claimed,) = due(database)
    shift(database, claimed.id, "lease_expires_at", 61)
    assert record(database, "a", Result(claimed, REJECTED)) == set()
    assert written(database) == []


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("off", ("error", "inactive", None, None)),
        ("delete", ("error", "inactive", None, None)),
        ("edit", ("error", "active", "unknown", "self.not_checked")),
        ("tested edit", ("error", "active", "healthy", "ok")),
    ],
)
def test_a_person_who_ends_an_error_is_told_of(
    database: Database, target: Target, org_id: str, what: str, expected: tuple[Any, ...]
) -> None:
    """Disabling, deleting or editing an integration in error adds a transition out of it."""
    id = add(target, org_id)
    check(database, REJECTED)
    with changes.unit_of_work(target) as session:
        if what == "off":
            changes.set_status(session, id=id, org_id=org_id, status="inactive")
        elif what == "delete":
            changes.delete_integration(session, id=id, org_id=org_id)
        else:
            changes.update_integration(
                session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(status="active")
            )
            if what == "tested edit":
                changes.record_outcome(session, id=id, org_id=org_id, check_type="auto", outcome=OK, agent="here")
    assert written(database)[1:] == [expected]


def test_switching_on_and_off_is_no_news(database: Database, target: Target, org_id: str) -> None:
    """A change that neither enters nor leaves the status error adds no transition."""
    id = add(target, org_id)
    for status in ("inactive", "active"):
        with changes.unit_of_work(target) as session:
            changes.set_status(session, id=id, org_id=org_id, status=status)
    assert written(database) == []


# --- reported


def test_one_is_taken_by_one(database: Database, target: Target, org_id: str) -> None:
    """No other agent claims a claimed transition; a delivered one is never due again."""
    add(target, org_id)
    check(database, REJECTED)
    (mine,) = take(database, "a")
    assert (mine.name, mine.org_id, mine.from_status, mine.to_status) == ("Email", org_id, "active", "error")
    assert (mine.code, mine.attempts, mine.provider) == ("smtp.auth.rejected", 1, "smtp")
    assert take(database, "b") == []
    assert transitions.mark_delivered(database, "a", mine, 0)
    later(database, 3600, "told_at")
    assert take(database, "a") == take(database, "b") == []


def test_a_death_in_between_is_told_again(database: Database, target: Target, org_id: str) -> None:
    """A transition that was begun but not marked is due again, with the same id, when its lease has expired."""
    add(target, org_id)
    check(database, REJECTED)
    (first,) = take(database, "a")
    later(database, 39)
    assert take(database, "b") == []
    later(database, 2)
    (second,) = take(database, "b")
    assert (second.id, second.attempts) == (first.id, 2)
    assert not transitions.mark_delivered(database, "a", first, 0)  # a delayed agent marks nothing
    assert not transitions.mark_delivered(database, "a", first, 0, again=True)
    assert transitions.mark_delivered(database, "b", second, 0)
    assert transitions.mark_delivered(database, "b", second, 0, again=True)  # the reply was lost, the mark was not
    assert not transitions.mark_delivered(database, "a", first, 0, again=True)


def test_of_one_integration_the_newest_is_claimed(database: Database, target: Target, org_id: str) -> None:
    """A recovery is delivered with its failure; another agent delivers nothing of that integration at that time."""
    for name in ("Email", "SMS"):
        add(target, org_id, name)
    for outcome in (REJECTED, OK):
        check(database, outcome)
    first = take(database, "a")
    assert {one.name: (one.to_status, len(one.missed)) for one in first} == {
        "Email": ("active", 1),
        "SMS": ("active", 1),
    }
    assert {one.missed[0].to_status for one in first} == {"error"}
    check(database, REJECTED)
    assert take(database, "b") == []  # a newer change waits until the delivery of the older one has ended
    assert all(transitions.mark_delivered(database, "a", one, 0) for one in first)
    assert [(one.to_status, one.missed) for one in take(database, "b")] == [("error", ())] * 2


def test_a_claim_that_is_frozen_stops_no_other_pass(postgresql_target: Target, org_id: str) -> None:
    """While another agent is inside its claim, a claim takes nothing and does not wait for it."""
    add(postgresql_target, org_id)
    with connect(postgresql_target) as database, connect(postgresql_target) as frozen:
        check(database, REJECTED)
        with frozen.transaction():
            assert frozen.row(transitions._ONE_CLAIM) == {"is_locked": True}
            assert take(database) == []
        assert len(take(database)) == 1


def test_no_more_than_asked_for_and_the_oldest(database: Database, target: Target, org_id: str) -> None:
    """An agent claims only as many as it can report now, oldest first."""
    for name in ("a", "b", "c"):
        add(target, org_id, name)
    check(database, REJECTED)
    assert len(take(database, limit=2)) == 2
    assert len(take(database, "b", limit=2)) == 1


def test_what_did_not_begin_is_free_again_at_once(database: Database, target: Target, org_id: str) -> None:
    """A transition that is given back is due at once; no attempt is counted."""
    add(target, org_id)
    check(database, REJECTED)
    (one,) = take(database)
    transitions.give_back(database, "a", one)
    (again,) = take(database, "b")
    assert (again.id, again.attempts) == (one.id, 1)


def test_an_earlier_lease_of_the_same_agent_marks_nothing(database: Database, target: Target, org_id: str) -> None:
    """The token counts, not only the owner."""
    add(target, org_id)
    check(database, REJECTED)
    (first,) = take(database, "a")
    later(database, 41)
    (second,) = take(database, "a")
    assert not transitions.mark_delivered(database, "a", first, 0)
    assert not transitions.mark_failed(database, "a", first, Failure("it ended with 1", 1, None)).was_ours
    assert transitions.mark_delivered(database, "a", second, 0)


@pytest.mark.case("reliability notifications")
def test_a_failure_that_was_marked_already(database: Database, target: Target, org_id: str) -> None:
    """A mark whose reply was lost is recognised; an agent whose lease was lost marks nothing."""
    add(target, org_id)
    check(database, REJECTED)
    (one,) = take(database, "a")
    failure = Failure("it ended with 1", 1, 5.0)
    first = transitions.mark_failed(database, "a", one, failure)
    assert first.was_ours and first.next_attempt_at is not None
    assert transitions.mark_failed(database, "a", one, failure, again=True) == first
    later(database, 6, "next_attempt_at")
    (second,) = take(database, "b")
    assert transitions.mark_failed(database, "a", one, failure, again=True) == (False, None)
    assert transitions.mark_delivered(database, "b", second, 0)


@pytest.mark.case("reliability notifications")
def test_a_pending_change_is_never_too_old(database: Database, target: Target, org_id: str) -> None:
    """A change that no agent could deliver for a long time is neither dropped nor deleted."""
    add(target, org_id)
    check(database, REJECTED)
    later(database, 40 * 86_400, "changed_at")
    assert transitions.prune(database) == 0
    assert len(take(database)) == 1


def test_an_agent_of_one_organisation_tells_of_that(database: Database, target: Target, org_id: str) -> None:
    """Another organisation's transitions stay for its own agent."""
    add(target, org_id)
    check(database, REJECTED)
    assert take(database, org_id="0" * 8 + org_id[8:]) == []
    assert len(take(database, org_id=org_id)) == 1


def test_a_lease_from_a_clock_that_was_set_back_is_void(database: Database, target: Target, org_id: str) -> None:
    """A lease that ends later than any lease can blocks no agent."""
    add(target, org_id)
    check(database, REJECTED)
    take(database)
    later(database, -3600)
    assert len(take(database, "b")) == 1


def test_looking_takes_no_lock(sqlite_target: Target, org_id: str) -> None:
    """A claim without due transitions takes no write lock on SQLite."""
    with connect(sqlite_target) as other, connect(sqlite_target) as database, other.transaction():
        assert take(database) == []


@pytest.mark.case("reliability notifications")
@pytest.mark.parametrize("delay_s", [5.0, None])
def test_old_ones_are_deleted(database: Database, target: Target, org_id: str, delay_s: float | None) -> None:
    """A delivered transition and a dead letter are deleted 30 days later; one that is retried stays."""
    for name in ("a", "b"):
        add(target, org_id, name)
    check(database, REJECTED)
    first, second = take(database)
    transitions.mark_delivered(database, "a", first, 0)
    transitions.mark_failed(database, "a", second, Failure("it ended with 1", 1, delay_s))
    later(database, 90 * 86_400, "changed_at")
    assert transitions.prune(database) == 0
    for column in ("told_at", "failed_at"):
        later(database, 30 * 86_400 + 1, column)
    assert transitions.prune(database) == (1 if delay_s else 2)


def test_deleting_for_good_takes_them_along(database: Database, target: Target, org_id: str) -> None:
    """An integration's row that another program deletes leaves no transition behind."""
    id = add(target, org_id)
    check(database, REJECTED)
    assert results.last_success(database, id) is None
    database.run("DELETE FROM integrations WHERE id = :id", {"id": id})
    assert written(database) == []
    assert database.dialect in (SQLITE, POSTGRESQL)
