"""The right to check one integration now: claim, record, give back, set aside.

A lease has an owner, an expiry and a fencing token that only rises. A result is recorded only by
the owner of a lease that is still valid, under its token: anything later is dropped. Only the
database's clock counts. Every function is one transaction, and none is open during a probe.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from intctl.codes import CODES, LOG_STATUS
from intctl.probes.outcome import Outcome
from intctl.store import transitions
from intctl.store.connect import POSTGRESQL, Database
from intctl.store.ids import new_log_id, spread

Row = dict[str, Any]

#: How many seconds a lease outlives the deadline of its probe: time to record, with room to spare.
LEASE_MARGIN_S = 40
#: Claims without a finish, after which an integration is set aside for an hour.
MAX_ATTEMPTS = 3
#: Definite rejections, after which scheduled logins stop until somebody acts.
MAX_REJECTIONS = 3
#: Scheduled time-outs and resets in a row, from which on an integration is in error.
FAILURE_THRESHOLD = 2

# A next check further off than any we write means that the clock was set back since; so does a
# lease that ends later than any lease can.
_DUE = """(s.next_check_at <= {now} OR s.next_check_at > {after 7500})"""
_FREE = """(s.lease_expires_at IS NULL OR s.lease_expires_at <= {now} OR s.lease_expires_at > {after 600})"""
_CANDIDATES = f"""
SELECT s.integration_id FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE {_DUE} AND {_FREE} AND s.attempts < {MAX_ATTEMPTS}
   AND i.deleted_at IS NULL AND i.status IN ('active', 'error') {{scope}}
 ORDER BY s.next_check_at, s.integration_id LIMIT :free_slots"""
_TAKE = """lease_owner = :owner, lease_token = s.lease_token + 1, attempts = s.attempts + 1,
       lease_expires_at = {after :lease_s}"""

# MATERIALIZED: inlined, the LIMIT could be evaluated more than once and take far more rows.
_CLAIM_POSTGRESQL = f"""
WITH due AS MATERIALIZED ({_CANDIDATES} FOR UPDATE OF s SKIP LOCKED)
UPDATE integration_schedules s SET {_TAKE} FROM due
 WHERE s.integration_id = due.integration_id RETURNING s.integration_id AS id"""
_CLAIM_SQLITE = f"""
UPDATE integration_schedules AS s SET {_TAKE}
 WHERE s.integration_id IN ({_CANDIDATES}) RETURNING integration_id AS id"""
_CLAIM_ONE = f"""
UPDATE integration_schedules AS s SET {_TAKE}
 WHERE s.integration_id = :id AND {_FREE} RETURNING integration_id AS id"""
_CLAIMED = """
SELECT i.id, i.org_id, i.name, i.provider, i.type, i.config, i.config_version, i.status,
       i.health_check_interval_minutes, s.lease_token
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.lease_owner = :owner AND s.integration_id {among} ORDER BY s.integration_id"""

# The guard: whoever lost the lease finds no row here. Locked until the results are written.
_HELD = """
SELECT s.integration_id AS id, s.lease_token, s.lease_expires_at, s.rejections, {now} AS now_at,
       i.status, i.error_count, i.error_message, i.config_version, i.deleted_at, i.health_check_interval_minutes
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.integration_id {among} AND s.lease_owner = :owner AND s.lease_expires_at > {now}
 ORDER BY s.integration_id"""
_RELEASE = """
UPDATE integration_schedules SET lease_owner = NULL, lease_expires_at = NULL, attempts = 0,
       rejections = :rejections, next_check_at = :next_at WHERE integration_id = :id"""
_STATUS = """
UPDATE integrations SET status = :status, error_message = :error_message, error_count = :error_count,
       last_health_check = {now} WHERE id = :id"""
_LOG = """
INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, error_message,
                                     metadata, checked_at, lease_token)
VALUES (:log_id, :id, :check_type, :log_status, :response_time_ms, :log_message, :metadata, {now}, :lease_token)"""

_LAST_SUCCESS = """
SELECT metadata FROM integration_health_logs WHERE integration_id = :id AND status = 'success'
 ORDER BY checked_at DESC, id DESC LIMIT 1"""

_GIVE_BACK = """
UPDATE integration_schedules SET lease_owner = NULL, lease_expires_at = NULL,
       attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END
 WHERE lease_owner = :owner AND integration_id {among}"""
_STUCK = f"""
SELECT s.integration_id AS id, s.lease_token, i.config_version
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.attempts >= {MAX_ATTEMPTS} AND (s.lease_expires_at IS NULL OR s.lease_expires_at <= {{now}})"""
_SET_ASIDE = """
UPDATE integration_schedules SET lease_owner = NULL, lease_expires_at = NULL, attempts = 0,
       next_check_at = {after 3600} WHERE integration_id = :id"""
_TOUCHED = "UPDATE integrations SET last_health_check = {now} WHERE id = :id"


@dataclass(frozen=True, slots=True)
class Claimed:
    """One integration that this process may check now, under `lease_token`."""

    id: str
    org_id: str
    name: str
    provider: str
    type: str
    config: object = field(repr=False)
    config_version: int
    status: str
    health_check_interval_minutes: int
    lease_token: int

    def row(self) -> Row:
        """The stored row, as the reads give it."""
        return {
            "id": self.id,
            "org_id": self.org_id,
            "name": self.name,
            "provider": self.provider,
            "config": self.config,
        }


@dataclass(frozen=True, slots=True)
class Result:
    """What a probe found, for the lease that it ran under."""

    claimed: Claimed
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """What an outcome makes of an integration. `next_in_s` counts from the claim; None is never."""

    status: str
    error_count: int
    error_message: str | None
    rejections: int
    next_in_s: float | None


def settle(state: Row, outcome: Outcome, check_type: str) -> Settled:
    """The one place that turns an outcome into a status and a next time.

    `state` has id, status, error_count, error_message, rejections and health_check_interval_minutes.
    """
    cause = CODES[outcome.code]
    interval_s = (state["health_check_interval_minutes"] or 5) * 60.0
    next_in_s: float | None = max(interval_s * spread(state["id"]), float(outcome.retry_after_s or 0))
    status, count, message = state["status"], state["error_count"] or 0, state["error_message"]
    rejections = 0 if check_type != "scheduled" else state["rejections"]
    if cause.verdict in ("healthy", "degraded"):
        status, count, message, rejections = "active", 0, None, 0
    elif cause.verdict != "unknown":
        count, message = count + 1, outcome.message
        # A time-out or a reset may be a passing thing, unless a person asked just now.
        if check_type != "scheduled" or not cause.transient or count >= FAILURE_THRESHOLD:
            status = "error"
        if cause.rejection:
            # Trying a dead password again and again locks accounts: slow down, then stop.
            rejections += 1
            next_in_s = None if rejections >= MAX_REJECTIONS else min(interval_s * 4**rejections, 3600.0)
    if state["status"] not in ("active", "error"):
        status, next_in_s = state["status"], None
    return Settled(status, count, message, rejections, next_in_s)


def account_change(outcome: Outcome, previous: object) -> Outcome:
    """The outcome, degraded where a healthy exchange showed another account than the one before.

    `previous` is the metadata of the last success, or None.
    """
    facts = previous.get("facts") if isinstance(previous, dict) else None
    before = facts.get("account") if isinstance(facts, dict) else None
    account = outcome.facts.get("account")
    if outcome.code != "ok" or before is None or account is None or before == account:
        return outcome
    return replace(outcome, code="account.changed", detail=f"it was {before}, now it is {account}")


def metadata(outcome: Outcome, agent: str, config_version: int) -> Row:
    """What a health log keeps beside its columns: plain JSON, nothing secret."""
    kept: Row = {
        "verdict": outcome.verdict,
        "code": outcome.code,
        "phase": outcome.phase,
        "phases_ms": dict(outcome.phases_ms),
        "facts": dict(outcome.facts),
        "agent": agent,
        "config_version": config_version,
    }
    if outcome.detail:
        kept["detail"] = outcome.detail
    return kept


def _among(database: Database, sql: str, ids: Sequence[str]) -> tuple[str, dict[str, object]]:
    """`sql` with `{among}` as a membership test, and its parameter."""
    if database.dialect == POSTGRESQL:
        return sql.replace("{among}", "= ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)}
    return sql.replace("{among}", "IN (SELECT value FROM json_each(:ids))"), {"ids": json.dumps(list(ids))}


def _locked(database: Database, sql: str, tables: str = "s, i") -> str:
    """SQLite's write lock is the whole file's; PostgreSQL's rows are locked one by one."""
    return f"{sql} FOR UPDATE OF {tables}" if database.dialect == POSTGRESQL else sql


def claim_due(
    database: Database, owner: str, *, free_slots: int, deadline_s: float, org_id: str | None = None
) -> list[Claimed]:
    """Takes up to `free_slots` integrations that are due, longest due first."""
    scope = "AND i.org_id = :org_id" if org_id else ""
    text = (_CLAIM_POSTGRESQL if database.dialect == POSTGRESQL else _CLAIM_SQLITE).replace("{scope}", scope)
    parameters: dict[str, object] = {"owner": owner, "free_slots": free_slots, "lease_s": deadline_s + LEASE_MARGIN_S}
    if org_id:
        parameters["org_id"] = org_id
    with database.transaction():
        taken = [str(row["id"]) for row in database.rows(text, parameters)]
        return _claimed(database, owner, taken)


def claim_one(database: Database, owner: str, id: str, *, deadline_s: float) -> Claimed | None:
    """Takes one integration now, due or not; None when somebody else holds it."""
    with database.transaction():
        taken = database.rows(_CLAIM_ONE, {"owner": owner, "id": id, "lease_s": deadline_s + LEASE_MARGIN_S})
        found = _claimed(database, owner, [str(row["id"]) for row in taken])
    return found[0] if found else None


def _claimed(database: Database, owner: str, ids: Sequence[str]) -> list[Claimed]:
    if not ids:
        return []
    text, parameters = _among(database, _CLAIMED, ids)
    return [Claimed(**row) for row in database.rows(text, {**parameters, "owner": owner})]


def last_success(database: Database, id: str) -> object:
    """The metadata of an integration's last successful check, or None."""
    found = database.row(_LAST_SUCCESS, {"id": id})
    return found["metadata"] if found else None


def record(
    database: Database, owner: str, results: Sequence[Result], *, check_type: str, agent: str, deadline_s: float
) -> dict[str, Outcome]:
    """Writes log rows and statuses together, frees the leases; what was recorded, by id.

    Those whose lease was lost are not in the answer: their results are dropped, somebody else has the lease now.
    An integration edited meanwhile keeps its status and is due again at once.
    """
    text, parameters = _among(database, _locked(database, _HELD), [result.claimed.id for result in results])
    with database.transaction():
        held = {str(row["id"]): row for row in database.rows(text, {**parameters, "owner": owner})}
        kept = {}
        changes: list[transitions.Change] = []
        for result in results:
            state = held.get(result.claimed.id)
            if state is None or state["lease_token"] != result.claimed.lease_token:
                continue
            outcome = result.outcome
            if "account" in outcome.facts:
                outcome = account_change(outcome, last_success(database, result.claimed.id))
            known = Result(result.claimed, outcome)
            status = _write(database, state, known, check_type=check_type, agent=agent, deadline_s=deadline_s)
            changes.append(transitions.Change(result.claimed.id, state["status"], status, outcome))
            kept[result.claimed.id] = outcome
        transitions.add(database, changes)
    return kept


def _write(database: Database, state: Row, result: Result, *, check_type: str, agent: str, deadline_s: float) -> str:
    """Writes one result; the status that the integration has now."""
    outcome, claimed = result.outcome, result.claimed
    settled = settle(state, outcome, check_type)
    claimed_at: datetime = state["lease_expires_at"] - timedelta(seconds=deadline_s + LEASE_MARGIN_S)
    next_at = None if settled.next_in_s is None else claimed_at + timedelta(seconds=settled.next_in_s)
    if next_at and outcome.retry_after_s:
        next_at = max(next_at, state["now_at"] + timedelta(seconds=outcome.retry_after_s))
    rejections = settled.rejections
    edited = state["config_version"] != claimed.config_version
    if edited and state["status"] in ("active", "error"):
        next_at, rejections = state["now_at"], 0
    if state["deleted_at"] is not None:
        next_at = None
    database.run(_RELEASE, {"id": claimed.id, "rejections": rejections, "next_at": next_at})
    if state["deleted_at"] is not None:
        return str(state["status"])
    if not edited:
        database.run(
            _STATUS,
            {
                "id": claimed.id,
                "status": settled.status,
                "error_message": settled.error_message,
                "error_count": settled.error_count,
            },
        )
    database.run(
        _LOG,
        {
            "log_id": new_log_id(),
            "id": claimed.id,
            "check_type": check_type,
            "log_status": LOG_STATUS[outcome.verdict],
            "response_time_ms": outcome.response_time_ms,
            "log_message": None if outcome.verdict == "healthy" else outcome.message,
            "metadata": metadata(outcome, agent, claimed.config_version),
            "lease_token": claimed.lease_token,
        },
    )
    return str(state["status"]) if edited else settled.status


def give_back(database: Database, owner: str, ids: Sequence[str]) -> int:
    """Frees leases whose probes were not finished; they are due as they were. How many were ours."""
    if not ids:
        return 0
    text, parameters = _among(database, _GIVE_BACK, ids)
    with database.transaction():
        return database.run(text, {**parameters, "owner": owner})


def set_aside(database: Database, *, agent: str) -> int:
    """Puts off by an hour what was claimed three times and never finished, as `unknown`. How many."""
    skip = " FOR UPDATE OF s SKIP LOCKED" if database.dialect == POSTGRESQL else ""
    if database.row(_STUCK) is None:  # without this look, every idle pass would take SQLite's write lock
        return 0
    outcome = Outcome("self.set_aside")
    with database.transaction():
        stuck = database.rows(_STUCK + skip)
        for row in stuck:
            database.run(_SET_ASIDE, {"id": row["id"]})
            database.run(_TOUCHED, {"id": row["id"]})
            database.run(
                _LOG,
                {
                    "log_id": new_log_id(),
                    "id": row["id"],
                    "check_type": "scheduled",
                    "log_status": "unknown",
                    "response_time_ms": None,
                    "log_message": outcome.message,
                    "metadata": metadata(outcome, agent, row["config_version"]),
                    "lease_token": row["lease_token"],
                },
            )
    return len(stuck)


def lease(database: Database, id: str) -> tuple[int, bool]:
    """The token of an integration's newest lease, and whether somebody holds it now."""
    found = database.row(
        "SELECT lease_token, CASE WHEN lease_expires_at > {now} THEN 1 ELSE 0 END AS held"
        "  FROM integration_schedules WHERE integration_id = :id",
        {"id": id},
    )
    return (int(found["lease_token"]), bool(found["held"])) if found else (0, False)
