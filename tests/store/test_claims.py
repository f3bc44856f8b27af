"""The claim protocol on both databases: which process may check, which result counts, what is paused."""

from __future__ import annotations

import threading
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from intctl.db.connect import Database, connect
from intctl.db.url import POSTGRESQL, Target
from intctl.health import judge
from intctl.health.outcome import Outcome
from intctl.store import changes, claims, clock, integrations, logs, organization_changes
from intctl.store import results as recording
from intctl.store.claims import Claimed
from intctl.store.results import Result

ENVELOPE = {"v": 1, "alg": "A256GCM", "kid": "k_0000000000000000", "n": "A" * 16, "ct": "A" * 22}
REJECTED = Outcome("smtp.auth.rejected", "auth")
TIMEOUT = Outcome("connect.timeout", "tcp")
OK = Outcome("ok", "api", {"tcp": 2.0, "auth": 5.0})


def add(target: Target, org_id: str, name: str = "Email", **values: Any) -> str:
    """Store an integration that is due now. Returns its id."""
    id = changes.new_id()
    given = {
        "type": "email",
        "provider": "smtp",
        "config": ENVELOPE,
        "status": "active",
        "interval_minutes": 5,
        "due": "now",
        **values,
    }
    with changes.unit_of_work(target) as session:
        changes.insert_integration(session, changes.NewIntegration(id=id, org_id=org_id, name=name, **given))
    return id


def shift(database: Database, id: str, column: str, seconds: int) -> None:
    """Let time pass for one row: `column` moves `seconds` back."""
    if database.dialect == POSTGRESQL:
        moved = f"{column} - make_interval(secs => {seconds})"
    else:
        moved = f"strftime('%Y-%m-%dT%H:%M:%f000Z', {column}, '{-seconds:+d} seconds')"
    database.run(f"UPDATE integration_schedules SET {column} = {moved} WHERE integration_id = :id", {"id": id})


def later(database: Database, id: str, seconds: int) -> None:
    """Make the history of an integration `seconds` older."""
    if database.dialect == POSTGRESQL:
        moved = f"checked_at - make_interval(secs => {seconds})"
    else:
        moved = f"strftime('%Y-%m-%dT%H:%M:%f000Z', checked_at, '{-seconds:+d} seconds')"
    database.run(f"UPDATE integration_health_logs SET checked_at = {moved} WHERE integration_id = :id", {"id": id})


def schedule(database: Database, id: str) -> dict[str, Any]:
    found = database.row("SELECT * FROM integration_schedules WHERE integration_id = :id", {"id": id})
    assert found is not None
    return found


def due(database: Database, owner: str = "a", slots: int = 10, **options: Any) -> list[Claimed]:
    return claims.claim_due(database, owner, free_slots=slots, deadline_s=20.0, **options)


def record(database: Database, owner: str, *results: Result, check_type: str = "scheduled") -> set[str]:
    written = recording.record(database, owner, results, check_type=check_type, agent="host", deadline_s=20.0)
    return set(written.recorded)


def row(database: Database, org_id: str, id: str) -> dict[str, Any]:
    return asdict(integrations.find(database, org_id, id))


def test_what_is_due_is_claimed_once(database: Database, target: Target, org_id: str) -> None:
    """No other process can claim an integration while its lease is valid; the claim returns its data."""
    id = add(target, org_id)
    (claimed,) = due(database, "a")
    assert (claimed.id, claimed.org_id, claimed.lease_token) == (id, org_id, 1)
    assert due(database, "b") == []
    assert claims.claim_one(database, "b", id, deadline_s=20.0) is None
    assert schedule(database, id)["lease_owner"] == "a"


def test_the_longest_due_come_first_and_no_more_than_there_are_slots(
    database: Database, target: Target, org_id: str
) -> None:
    """An agent claims as many as it can start now, longest due first."""
    ids = [add(target, org_id, f"n{i}") for i in range(5)]
    for age, id in enumerate(ids):
        shift(database, id, "next_check_at", 100 * age)
    assert {claimed.id for claimed in due(database, slots=2)} == set(ids[3:])
    assert len(due(database, slots=10)) == 3


@pytest.mark.parametrize("how", ["inactive", "deleted", "not due"])
def test_what_is_off_or_not_due_is_left_alone(database: Database, target: Target, org_id: str, how: str) -> None:
    """Inactive, deleted and not yet due integrations are never claimed by an agent."""
    id = add(target, org_id, due="later" if how == "not due" else "now")
    with changes.unit_of_work(target) as session:
        if how == "inactive":
            changes.set_status(session, id=id, org_id=org_id, status="inactive")
        elif how == "deleted":
            changes.delete_integration(session, id=id, org_id=org_id)
    assert due(database) == []


def test_what_another_program_switched_off_is_left_alone(database: Database, target: Target, org_id: str) -> None:
    """A status set by a portal that shares the table counts too."""
    add(target, org_id)
    database.run("UPDATE integrations SET status = 'inactive'")
    assert due(database) == []


def test_an_agent_may_be_kept_to_one_organisation(database: Database, target: Target, org_id: str) -> None:
    """An agent of one organisation claims only its integrations."""
    with changes.unit_of_work(target) as session:
        other = organization_changes.create_organization(session, "Other", "other").id
    mine, theirs = add(target, org_id), add(target, other)
    assert [claimed.id for claimed in due(database, org_id=org_id)] == [mine]
    assert [claimed.id for claimed in due(database)] == [theirs]


def test_a_result_is_recorded_with_log_and_status_together(database: Database, target: Target, org_id: str) -> None:
    """Recording releases the lease, writes the log and sets the status in one transaction."""
    id = add(target, org_id)
    (claimed,) = due(database)
    assert record(database, "a", Result(claimed, REJECTED)) == {id}
    now = row(database, org_id, id)
    assert (now["status"], now["error_count"], now["verdict"]) == ("error", 1, "misconfigured")
    assert now["error_message"] == REJECTED.message
    assert now["last_health_check"] is not None
    (log,) = logs.newest(database, org_id)
    assert (log.status, log.check_type, log.code, log.phase) == ("failure", "scheduled", "smtp.auth.rejected", "auth")
    after = schedule(database, id)
    assert (after["lease_owner"], after["lease_expires_at"], after["attempts"]) == (None, None, 0)


def test_a_success_clears_the_error(database: Database, target: Target, org_id: str) -> None:
    """One success sets the status active and clears the error."""
    id = add(target, org_id)
    (claimed,) = due(database)
    record(database, "a", Result(claimed, REJECTED))
    claimed = claims.claim_one(database, "a", id, deadline_s=20.0)  # type: ignore[assignment]
    record(database, "a", Result(claimed, OK), check_type="manual")
    now = row(database, org_id, id)
    assert (now["status"], now["error_count"], now["error_message"], now["verdict"]) == ("active", 0, None, "healthy")
    assert logs.newest(database, org_id)[0].response_time_ms == 7


def test_a_stale_result_is_dropped(database: Database, target: Target, org_id: str) -> None:
    """A process whose lease expired writes nothing: the fresh result is kept."""
    id = add(target, org_id)
    (stale,) = due(database, "a")
    shift(database, id, "lease_expires_at", 100)
    assert record(database, "a", Result(stale, REJECTED)) == set()
    (fresh,) = due(database, "b")
    assert fresh.lease_token == 2
    assert record(database, "b", Result(fresh, OK)) == {id}
    assert record(database, "a", Result(stale, REJECTED)) == set()
    assert row(database, org_id, id)["status"] == "active"
    assert len(logs.newest(database, org_id)) == 1


def test_the_token_decides_even_for_the_same_owner(database: Database, target: Target, org_id: str) -> None:
    """A result of an earlier lease of the same process is stale too."""
    id = add(target, org_id)
    (stale,) = due(database, "a")
    shift(database, id, "lease_expires_at", 100)
    (fresh,) = due(database, "a")
    assert record(database, "a", Result(stale, REJECTED)) == set()
    assert record(database, "a", Result(fresh, OK)) == {id}


def test_the_owner_decides_even_for_the_same_token(database: Database, target: Target, org_id: str) -> None:
    """A result is dropped if another owner holds the lease."""
    add(target, org_id)
    (claimed,) = due(database, "a")
    assert record(database, "b", Result(claimed, OK)) == set()


def test_one_log_row_for_each_lease(database: Database, target: Target, org_id: str) -> None:
    """Recording twice writes once."""
    add(target, org_id)
    (claimed,) = due(database)
    record(database, "a", Result(claimed, OK))
    assert record(database, "a", Result(claimed, OK)) == set()
    assert len(logs.newest(database, org_id)) == 1


def test_an_edit_during_the_probe_keeps_its_status_and_is_checked_again_at_once(
    database: Database, target: Target, org_id: str
) -> None:
    """A verdict on the old config says nothing about the new one."""
    id = add(target, org_id)
    (claimed,) = due(database)
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config=ENVELOPE)
        )
    record(database, "a", Result(claimed, REJECTED))
    now = row(database, org_id, id)
    assert (now["status"], now["verdict"], now["code"]) == ("active", "unknown", "self.not_checked")
    (log,) = logs.newest(database, org_id, id=id)
    assert (log.status, log.code) == ("unknown", REJECTED.code), "nor does it count as uptime"
    assert [claimed.id for claimed in due(database)] == [id]


def test_a_deletion_during_the_probe_is_final(database: Database, target: Target, org_id: str) -> None:
    """The result of a deleted integration writes no log, and it is never due again."""
    id = add(target, org_id)
    (claimed,) = due(database)
    with changes.unit_of_work(target) as session:
        changes.delete_integration(session, id=id, org_id=org_id)
    record(database, "a", Result(claimed, REJECTED))
    assert schedule(database, id)["next_check_at"] is None
    assert logs.newest(database, org_id, id=id) == []


def test_a_toggle_during_the_probe_stays(database: Database, target: Target, org_id: str) -> None:
    """An integration that is disabled during its check is recorded, and stays disabled."""
    id = add(target, org_id)
    (claimed,) = due(database)
    with changes.unit_of_work(target) as session:
        changes.set_status(session, id=id, org_id=org_id, status="inactive")
    record(database, "a", Result(claimed, OK))
    assert row(database, org_id, id)["status"] == "inactive"
    assert schedule(database, id)["next_check_at"] is None


def test_the_next_check_is_early_never_late(database: Database, target: Target, org_id: str) -> None:
    """The next time counts from the claim, between 0.90 and 1.00 of the interval."""
    id = add(target, org_id)
    before = clock.now(database)
    (claimed,) = due(database)
    record(database, "a", Result(claimed, OK))
    wait = (schedule(database, id)["next_check_at"] - before).total_seconds()
    assert 270 <= wait <= 301


def test_given_back_is_due_again_and_uncounted(database: Database, target: Target, org_id: str) -> None:
    """A claim that is given back leaves the due time unchanged; only the owner can give it back."""
    id = add(target, org_id)
    due(database, "a")
    assert claims.give_back(database, "b", [id]) == 0
    assert claims.give_back(database, "a", [id]) == 1
    assert claims.give_back(database, "a", []) == 0
    assert schedule(database, id)["attempts"] == 0
    assert len(due(database, "b")) == 1


def test_three_claims_without_a_result_are_set_aside(database: Database, target: Target, org_id: str) -> None:
    """An integration that kills its agent three times is paused for one hour, as unknown, and logged once."""
    id = add(target, org_id)
    for attempt in range(claims.MAX_ATTEMPTS):
        assert recording.set_aside(database, agent="host") == 0
        last = attempt == claims.MAX_ATTEMPTS - 1
        assert claims.find_anomalies(database) == claims.Anomalies(suspects=last)
        assert len(due(database, suspects=not last)) == 0
        (claimed,) = due(database, suspects=last)
        assert claimed.suspect is last
        assert not claims.find_anomalies(database).stuck or last
        shift(database, id, "lease_expires_at", 100)
    assert due(database) == due(database, suspects=True) == []
    assert claims.find_anomalies(database) == claims.Anomalies(stuck=True)
    assert recording.set_aside(database, agent="host") == 1
    assert claims.find_anomalies(database) == claims.Anomalies()
    assert recording.set_aside(database, agent="host") == 0
    now = row(database, org_id, id)
    assert (now["status"], now["code"]) == ("active", "self.set_aside")
    wait = (schedule(database, id)["next_check_at"] - clock.now(database)).total_seconds()
    assert 3500 < wait <= 3600
    shift(database, id, "next_check_at", 3601)
    assert len(due(database)) == 1


def test_what_is_still_being_checked_is_not_set_aside(database: Database, target: Target, org_id: str) -> None:
    """The third claim's lease is valid: its holder may still finish, and does."""
    id = add(target, org_id)
    database.run("UPDATE integration_schedules SET attempts = 2")
    (claimed,) = due(database, suspects=True)
    assert claims.find_anomalies(database).stuck
    assert recording.set_aside(database, agent="host") == 0
    assert record(database, "a", Result(claimed, OK)) == {id}


def test_a_clock_that_went_back_stops_nothing(database: Database, target: Target, org_id: str) -> None:
    """A next check or a lease later than any schedule allows counts as past."""
    one, two = add(target, org_id, "one"), add(target, org_id, "two")
    shift(database, one, "next_check_at", -86400)
    due(database, "a", slots=1)
    shift(database, two, "lease_expires_at", -86400)
    ahead = claims.find_anomalies(database).ahead
    assert [late.id for late in ahead] == [one]
    assert claims.pull_forward(database, ahead) == 1
    assert claims.find_anomalies(database) == claims.Anomalies()
    assert len(due(database, "b")) == 2
    assert all(schedule(database, id)["lease_owner"] == "b" for id in (one, two))


AHEAD_S = [90, 600, 3600, 7200, 86_400]


@pytest.mark.case("reliability 2")
@pytest.mark.parametrize("minutes", [1, 5, 60])
@pytest.mark.parametrize("ahead_s", AHEAD_S)
def test_a_clock_that_was_ahead_delays_no_check(
    database: Database, target: Target, org_id: str, ahead_s: int, minutes: int
) -> None:
    """A check scheduled by a clock that was ahead is due within two intervals after the clock was corrected."""
    id = add(target, org_id)
    database.run("UPDATE integrations SET health_check_interval_minutes = :n", {"n": minutes})
    (claimed,) = due(database)
    record(database, "a", Result(claimed, OK))
    put_ahead(database, ahead_s)
    claims.pull_forward(database, claims.find_anomalies(database).ahead)
    wait = (schedule(database, id)["next_check_at"] - clock.now(database)).total_seconds()
    if ahead_s + 60 * minutes > 120 * minutes:
        assert wait <= 0
    assert wait <= 120 * minutes
    assert claims.find_anomalies(database) == claims.Anomalies()


def put_ahead(database: Database, seconds: int) -> None:
    """Shift everything that was written, as if the clock had been ahead and is now correct."""
    for table, columns in {
        "integration_schedules": ["next_check_at"],
        "integration_health_logs": ["checked_at"],
        "integrations": ["last_health_check"],
    }.items():
        for column in columns:
            for row in database.rows(f"SELECT *, {column} AS at FROM {table}"):
                if row["at"] is not None:
                    key = "integration_id" if table == "integration_schedules" else "id"
                    at = moment(row["at"]) + timedelta(seconds=seconds)
                    database.run(f"UPDATE {table} SET {column} = :at WHERE {key} = :id", {"at": at, "id": row[key]})


def moment(found: Any) -> datetime:
    return found if isinstance(found, datetime) else datetime.fromisoformat(found)


@pytest.mark.case("reliability 2")
@pytest.mark.parametrize(
    ("outcome", "wait_s"),
    [
        (Outcome("http.rate_limited", "api", retry_after_s=1800), 1800),
        (REJECTED, 1200),
        (Outcome("self.set_aside"), 3600),
    ],
)
def test_a_delay_of_its_own_is_kept(
    database: Database, target: Target, org_id: str, outcome: Outcome, wait_s: int
) -> None:
    """A Retry-After, a refused login and a pause last longer than two intervals; after a clock that was ahead, too."""
    id = add(target, org_id)
    (claimed,) = due(database)
    if outcome.code == "self.set_aside":
        database.run("UPDATE integration_schedules SET attempts = 3")
        shift(database, id, "lease_expires_at", 100)
        recording.set_aside(database, agent="host")
    else:
        record(database, "a", Result(claimed, outcome))
    assert claims.find_anomalies(database) == claims.Anomalies()
    put_ahead(database, 86_400)
    (ahead,) = claims.find_anomalies(database).ahead
    assert ahead.wait_s == wait_s
    claims.pull_forward(database, [ahead])
    wait = (schedule(database, id)["next_check_at"] - clock.now(database)).total_seconds()
    assert wait_s - 20 < wait <= wait_s
    assert claims.find_anomalies(database) == claims.Anomalies()


def test_a_dead_password_stops_after_three_logins(database: Database, target: Target, org_id: str) -> None:
    """Definite rejections slow scheduled logins down, then stop them, until a person checks on demand."""
    id = add(target, org_id)
    waits = []
    for _ in range(judge.MAX_REJECTIONS):
        (claimed,) = due(database)
        record(database, "a", Result(claimed, REJECTED))
        next_at = schedule(database, id)["next_check_at"]
        waits.append(next_at and (next_at - clock.now(database)).total_seconds())
        if next_at:
            shift(database, id, "next_check_at", 4000)
    assert waits[0] > 600 and waits[1] > waits[0] and waits[2] is None
    assert due(database) == []
    claimed = claims.claim_one(database, "a", id, deadline_s=20.0)  # type: ignore[assignment]
    record(database, "a", Result(claimed, REJECTED), check_type="manual")
    assert schedule(database, id)["rejections"] == 1
    assert schedule(database, id)["next_check_at"] is not None


def test_an_edit_forgets_the_rejections(database: Database, target: Target, org_id: str) -> None:
    """A new config starts without rejections."""
    id = add(target, org_id)
    (claimed,) = due(database)
    record(database, "a", Result(claimed, REJECTED))
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config=ENVELOPE, due="now")
        )
    assert schedule(database, id)["rejections"] == 0
    assert len(due(database)) == 1


def test_a_provider_that_asks_for_time_gets_it(database: Database, target: Target, org_id: str) -> None:
    """Retry-After delays the next check, and counts from now."""
    id = add(target, org_id)
    (claimed,) = due(database)
    record(database, "a", Result(claimed, Outcome("http.rate_limited", "api", retry_after_s=3000)))
    assert row(database, org_id, id)["status"] == "active"
    assert (schedule(database, id)["next_check_at"] - clock.now(database)).total_seconds() > 2900


BUSY = Outcome("http.rate_limited", "api", detail="HTTP 429")


def checked(database: Database, outcome: Outcome, id: str, **options: Any) -> tuple[str, str, str]:
    """Record a check with this outcome. Returns its code, its log status, and the new status."""
    shift(database, id, "next_check_at", 7200)
    (claimed,) = due(database)
    record(database, "a", Result(claimed, outcome), **options)
    (log,) = database.rows(
        "SELECT l.status, i.status AS became, l.metadata FROM integration_health_logs l JOIN integrations i"
        "    ON i.id = l.integration_id WHERE i.id = :id AND l.checked_at IS NOT NULL"
        " ORDER BY l.checked_at DESC, l.id DESC LIMIT 1",
        {"id": id},
    )
    return log["metadata"]["code"], log["status"], log["became"]


@pytest.mark.parametrize("busy", [BUSY, Outcome("temporary", "auth", detail="454 later")], ids=["429", "454"])
def test_who_is_put_off_knows_nothing_new(database: Database, target: Target, org_id: str, busy: Outcome) -> None:
    """Degraded while a proof of this config is fresh, and unknown before the first one and long after the last."""
    id = add(target, org_id)
    unknown = ("provider.busy", "unknown", "active")
    throttled = (busy.code, "success", "active")
    assert checked(database, busy, id) == unknown
    checked(database, OK, id)
    later(database, id, 3000)
    for _ in range(2):
        assert checked(database, busy, id) == throttled
    newest, other, proof, _ = logs.newest(database, org_id, id=id)
    assert newest.facts["proven_at"] == other.facts["proven_at"] == proof.checked_at.isoformat()
    checked(database, OK, id)
    later(database, id, 3700)
    assert checked(database, busy, id) == unknown
    checked(database, OK, id)
    assert checked(database, busy, id) == throttled
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config=ENVELOPE)
        )
    assert checked(database, busy, id) == unknown, "it was another config"


def test_who_is_put_off_is_not_well_again(database: Database, target: Target, org_id: str) -> None:
    """A rejected credential stays rejected while the provider throttles: no success, no new failure count."""
    id = add(target, org_id)
    checked(database, OK, id)
    assert checked(database, REJECTED, id)[2] == "error"
    before = row(database, org_id, id)
    assert checked(database, BUSY, id) == ("provider.busy", "unknown", "error")
    after = row(database, org_id, id)
    assert [after[name] for name in ("status", "error_count", "error_message", "rejections")] == [
        before[name] for name in ("status", "error_count", "error_message", "rejections")
    ]


@pytest.mark.parametrize(
    "outcome", [Outcome("temporary", "api"), Outcome("http.rate_limited", "api", facts={"token_exchanged": True})]
)
def test_who_is_put_off_after_the_login_has_proved_it(
    database: Database, target: Target, org_id: str, outcome: Outcome
) -> None:
    """In this very check the mail server accepted the login, or the token endpoint the credential."""
    id = add(target, org_id)
    assert checked(database, outcome, id) == (outcome.code, "success", "active")


def test_who_is_put_off_after_it_was_off_has_no_proof(database: Database, target: Target, org_id: str) -> None:
    """Disabling and enabling discards the rejections and the earlier proof: no 429 makes the integration healthy."""
    id = add(target, org_id)
    for outcome in (OK, REJECTED):
        checked(database, outcome, id)
    for status in ("inactive", "active"):
        with changes.unit_of_work(target) as session:
            changes.set_status(session, id=id, org_id=org_id, status=status)
    assert checked(database, BUSY, id) == ("provider.busy", "unknown", "active")


def test_a_log_without_a_time_hides_no_proof(database: Database, target: Target, org_id: str) -> None:
    """Another program's row, its time NULL, is not the newest."""
    id = add(target, org_id)
    checked(database, OK, id)
    database.run(
        "INSERT INTO integration_health_logs (id, integration_id, check_type, status, metadata, checked_at)"
        " VALUES (:log, :id, 'manual', 'success', :metadata, NULL)",
        {"log": changes.new_id(), "id": id, "metadata": {"by": "portal"}},
    )
    assert checked(database, BUSY, id)[0] == "http.rate_limited"


def test_a_proof_of_tomorrow_is_none(database: Database, target: Target, org_id: str) -> None:
    """A proof from the future does not count: the clock was set back, so its age is unknown."""
    id = add(target, org_id)
    checked(database, OK, id)
    later(database, id, -90_000)
    last = recording.last_success(database, id)
    judged = judge.apply_throttling(BUSY, last, config_version=1, interval_minutes=5, now=clock.now(database))
    assert judged.code == "provider.busy"


@pytest.mark.parametrize("odd", ['{"proven_at": "soon"}', '{"proven_at": 5}', '{"proven_at": "2020-01-01"}', "[]"])
def test_a_proof_of_another_hands_is_none(database: Database, target: Target, org_id: str, odd: str) -> None:
    """A log row of another program fails no batch."""
    id = add(target, org_id)
    checked(database, OK, id)
    document = f'{{"config_version": 1, "code": "ok", "facts": {odd}}}'
    cast = "CAST(:document AS jsonb)" if database.dialect == POSTGRESQL else ":document"
    database.run(f"UPDATE integration_health_logs SET metadata = {cast}", {"document": document})
    code = checked(database, BUSY, id)[0]
    assert code == ("http.rate_limited" if odd == "[]" else "provider.busy")


def test_two_agents_at_once_share_without_overlap(database: Database, target: Target, org_id: str) -> None:
    """Claims made at the same moment never overlap."""
    for number in range(40):
        add(target, org_id, f"n{number}")
    taken: dict[str, list[str]] = {"a": [], "b": [], "c": []}

    def agent(owner: str) -> None:
        with connect(target) as own:
            while claimed := due(own, owner, slots=3):
                taken[owner] += [one.id for one in claimed]

    threads = [threading.Thread(target=agent, args=(owner,)) for owner in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    every = [id for ids in taken.values() for id in ids]
    assert len(every) == len(set(every)) == 40


def test_another_account_than_before_is_said_once(database: Database, target: Target, org_id: str) -> None:
    """A credential that now belongs to another account is a warning; the next check knows the new account."""
    id = add(target, org_id)
    codes = []
    for account in ("Acme", "Acme", "Somebody else", "Somebody else"):
        claimed = claims.claim_one(database, "a", id, deadline_s=20.0)
        assert claimed is not None
        outcome = Outcome("ok", "api", facts={"account": account})
        kept = recording.record(
            database, "a", [Result(claimed, outcome)], check_type="manual", agent="host", deadline_s=20.0
        )
        codes.append(kept.recorded[id].outcome.code)
    assert codes == ["ok", "ok", "account.changed", "ok"]
    assert "it was Acme, now it is Somebody else" in str(logs.newest(database, org_id)[1].error_message)


# --- locks and changes of other processes


def test_rows_that_somebody_has_locked_are_passed_over(postgresql_target: Target, org_id: str) -> None:
    """A row that another agent has locked is skipped; the others are claimed at once."""
    one, two = add(postgresql_target, org_id, "one"), add(postgresql_target, org_id, "two")
    with connect(postgresql_target) as mine, connect(postgresql_target) as theirs, theirs.transaction():
        lock = "SELECT integration_id FROM integration_schedules WHERE integration_id = :id FOR UPDATE"
        theirs.rows(lock, {"id": one})
        assert [claimed.id for claimed in due(mine)] == [two]


def test_no_plan_takes_more_than_there_are_slots(postgresql_target: Target, org_id: str) -> None:
    """The limit holds for every join method of PostgreSQL: evaluated for each row, it would claim every row."""
    for number in range(20):
        add(postgresql_target, org_id, f"n{number}")
    with connect(postgresql_target) as database:
        for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize", "indexscan", "bitmapscan"):
            database.run(f"SET enable_{way} = off")
        database.rows("ANALYZE")
        assert len(due(database, slots=3)) == 3


def test_a_change_that_is_under_way_is_kept(postgresql_target: Target, org_id: str) -> None:
    """A result is not written during a concurrent change that disables the integration, and does not enable it."""
    id = add(postgresql_target, org_id)
    with connect(postgresql_target) as database, connect(postgresql_target) as theirs:
        (claimed,) = due(database)
        with theirs.transaction():
            theirs.run("UPDATE integrations SET status = 'inactive' WHERE id = :id", {"id": id})
            assert record(database, "a", Result(claimed, OK)) == set()
        assert record(database, "a", Result(claimed, OK)) == {id}
        assert row(database, org_id, id)["status"] == "inactive"
        assert len(logs.newest(database, org_id)) == 1


# --- odd results


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("server.error", "api", facts={"server": "a\0b"}),
        Outcome("server.error", "api", detail="a\0b"),
        Outcome("server.error", "api", detail="half a \ud83d pair"),
        Outcome("server.error", "api", facts={"server": object()}),
        Outcome("server.error", "api", {"api": 1e30}),
        Outcome("server.error", "api", facts={"load": float("nan")}),
    ],
    ids=["NUL in a fact", "NUL in a text", "surrogate", "no JSON", "number too large", "NaN"],
)
def test_a_result_that_is_not_taken_spoils_no_other(
    database: Database, target: Target, org_id: str, outcome: Outcome
) -> None:
    """A value that the database or JSON rejects is an error of intctl for one integration; other results are kept."""
    ids = [add(target, org_id, name) for name in ("before", "odd", "after")]
    claimed = {one.name: one for one in due(database)}
    results = [Result(claimed[name], outcome if name == "odd" else OK) for name in ("before", "odd", "after")]
    assert record(database, "a", *results) == set(ids)
    codes = {log.integration: log.code for log in logs.newest(database, org_id)}
    assert (codes["before"], codes["after"]) == ("ok", "ok")
    assert codes["odd"] in ("self.crash", "server.error")  # SQLite accepts some of them
    if database.dialect == POSTGRESQL:
        assert codes["odd"] == "self.crash"
        assert row(database, org_id, ids[1])["status"] == "active"
    assert all(schedule(database, id)["lease_owner"] is None for id in ids)


def test_what_changed_is_told(database: Database, target: Target, org_id: str) -> None:
    """Each recorded result has its name and both statuses; the log's metadata has a change, too."""
    id = add(target, org_id)
    told = []
    for outcome in (OK, REJECTED, REJECTED, OK):
        claimed = claims.claim_one(database, "a", id, deadline_s=20.0)
        assert claimed is not None
        recorded = recording.record(
            database, "a", [Result(claimed, outcome)], check_type="manual", agent="host", deadline_s=20.0
        ).recorded
        told.append((recorded[id].name, recorded[id].was, recorded[id].became))
    assert told == [
        ("Email", "active", "active"),
        ("Email", "active", "error"),
        ("Email", "error", "error"),
        ("Email", "error", "active"),
    ]
    logged = [log["metadata"] for log in database.rows("SELECT metadata FROM integration_health_logs ORDER BY id")]
    assert [(log.get("was"), log.get("became")) for log in logged] == [
        (None, None),
        ("active", "error"),
        (None, None),
        ("error", "active"),
    ]


def test_recording_again_finds_what_is_there(database: Database, target: Target, org_id: str) -> None:
    """After a lost reply, a result in the log under this lease was recorded; any other was lost."""
    one, two = add(target, org_id, "one"), add(target, org_id, "two")
    claimed = due(database)
    results = [Result(taken, REJECTED) for taken in claimed]
    shift(database, two, "lease_expires_at", 100)
    assert record(database, "a", *results) == {one}
    again = recording.record(
        database, "a", results, check_type="scheduled", agent="host", deadline_s=20.0, again=True
    ).recorded
    assert set(again) == {one}
    assert (again[one].outcome.code, again[one].was, again[one].became) == (REJECTED.code, "active", "error")
    assert len(logs.newest(database, org_id)) == 1


def test_what_a_lost_answer_took_is_given_back(database: Database, target: Target, org_id: str) -> None:
    """All leases of an owner except the known ones are released, and no other owner's."""
    known, lost, theirs = (add(target, org_id, name) for name in ("known", "lost", "theirs"))
    for owner, id in (("a", known), ("a", lost), ("b", theirs)):
        assert claims.claim_one(database, owner, id, deadline_s=20.0) is not None
    assert claims.give_back_unknown(database, "a", [known]) == 1
    assert [schedule(database, id)["lease_owner"] for id in (known, lost, theirs)] == ["a", None, "b"]
    assert schedule(database, lost)["attempts"] == 0
    assert claims.give_back_unknown(database, "a", []) == 1


def test_a_pass_that_was_missed_is_not_made_up_for(database: Database, target: Target, org_id: str) -> None:
    """After a night without an agent, each integration is due once, and then one interval later."""
    id = add(target, org_id)
    shift(database, id, "next_check_at", 12 * 3600)
    (claimed,) = due(database)
    record(database, "a", Result(claimed, OK))
    assert due(database) == []
    assert (schedule(database, id)["next_check_at"] - clock.now(database)).total_seconds() > 200
