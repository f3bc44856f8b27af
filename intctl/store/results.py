"""Recording results: log row, status and next check together, for leases that are still held.

A row that another database session has locked delays only its own result: it is reported as locked, so that the pass
tries it again, and is held back at the end (`hold_back`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from intctl.db import lease
from intctl.db.connect import Database, among
from intctl.db.ids import new_log_id
from intctl.db.url import POSTGRESQL
from intctl.errors import ConflictError, RefusedError, UsageError
from intctl.failpoint import hit
from intctl.health import judge, log_entry
from intctl.health.judge import LastSuccess, Lease, Standing
from intctl.health.outcome import Outcome
from intctl.health.status import interval_minutes
from intctl.store import transitions
from intctl.store.claims import MAX_ATTEMPTS, Claimed
from intctl.store.current import OFF_AT

# The guard: a process that lost its lease finds no row. The rows stay locked until the results are written.
_HELD = f"""
SELECT s.integration_id AS id, s.lease_token, s.lease_expires_at, s.rejections, {{now}} AS now_at, i.name,
       i.status, i.error_count, i.error_message, i.config_version, i.deleted_at, i.health_check_interval_minutes
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.integration_id {{among}} AND {lease.is_held("s")}
 ORDER BY s.integration_id"""
_RELEASE = f"""
UPDATE integration_schedules SET {lease.RELEASE}, attempts = 0,
       rejections = :rejections, next_check_at = :next_at WHERE integration_id = :id"""
_STATUS = """
UPDATE integrations SET status = :status, error_message = :error_message, error_count = :error_count,
       last_health_check = {now} WHERE id = :id"""
_LOG = """
INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, error_message,
                                     metadata, checked_at, lease_token)
VALUES (:log_id, :id, :check_type, :log_status, :response_time_ms, :log_message, :metadata, {now}, :lease_token)"""
# The three statements above for many results in one: the server unpacks one document.
_WRITE_POSTGRESQL = f"""
WITH given AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:results AS jsonb)) AS g (
    id uuid, rejections int, next_at timestamptz, settles boolean, status text, error_message text, error_count int,
    logs boolean, log_id uuid, check_type text, log_status text, response_time_ms int, log_message text,
    metadata jsonb, lease_token bigint)),
released AS (
  UPDATE integration_schedules s SET {lease.RELEASE}, attempts = 0,
         rejections = g.rejections, next_check_at = g.next_at FROM given g WHERE s.integration_id = g.id),
settled AS (
  UPDATE integrations i SET status = g.status, error_message = g.error_message, error_count = g.error_count,
         last_health_check = {{now}} FROM given g WHERE i.id = g.id AND g.settles)
INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, error_message,
                                     metadata, checked_at, lease_token)
SELECT log_id, id, check_type, log_status, response_time_ms, log_message, metadata, {{now}}, lease_token
  FROM given WHERE logs"""
_HOLD_BACK = f"""
UPDATE integration_schedules SET {lease.GIVE_BACK}, rejections = :rejections, next_check_at = :next_at
 WHERE integration_id = :id"""
_WRITTEN = """
SELECT l.integration_id AS id, l.lease_token, l.metadata FROM integration_health_logs l
 WHERE l.integration_id {among} AND l.lease_token IS NOT NULL"""

_LAST_SUCCESSES = """
SELECT i.id, l.metadata, l.checked_at, {off_at},
       (SELECT max(f.checked_at) FROM integration_health_logs f
         WHERE f.integration_id = i.id AND f.status = 'failure' AND f.checked_at >= l.checked_at
           AND (f.checked_at > l.checked_at OR f.id > l.id)) AS failed_at
  FROM integrations i JOIN integration_health_logs l ON l.id =
       (SELECT n.id FROM integration_health_logs n WHERE n.integration_id = i.id AND n.status = 'success'
           AND n.checked_at IS NOT NULL ORDER BY n.checked_at DESC, n.id DESC LIMIT 1)
 WHERE i.id {among}""".replace("{off_at}", OFF_AT)


_STUCK = f"""
SELECT s.integration_id AS id, s.lease_token, i.config_version
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.attempts >= {MAX_ATTEMPTS} AND (s.lease_expires_at IS NULL OR s.lease_expires_at <= {{now}})"""
_SET_ASIDE = f"""
UPDATE integration_schedules SET {lease.RELEASE}, attempts = 0,
       next_check_at = CASE WHEN next_check_at IS NULL THEN NULL ELSE {{after {judge.PAUSE_S}}} END
 WHERE integration_id = :id"""
_TOUCHED = "UPDATE integrations SET last_health_check = {now} WHERE id = :id"


# The database or JSON rejected a value of one result; the other results are not affected.
_ITS_OWN_FAULT = (ConflictError, RefusedError, UsageError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class Result:
    """The findings of a probe, and the lease that it ran under."""

    claimed: Claimed
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recorded:
    """A result in the database: its outcome, and the status before and after it."""

    id: str
    name: str
    outcome: Outcome
    was: str
    became: str


class Written(NamedTuple):
    """The recorded results by id, and the ids of those whose rows another session has locked."""

    recorded: dict[str, Recorded]
    locked: frozenset[str] = frozenset()


class _Held(NamedTuple):
    """An integration whose lease is still held, at the time of recording."""

    id: str
    lease_token: int
    lease_expires_at: datetime
    rejections: int
    now_at: datetime
    name: str
    status: str
    error_count: int | None
    error_message: str | None
    config_version: int
    deleted_at: datetime | None
    health_check_interval_minutes: int | None

    @property
    def standing(self) -> Standing:
        """The present state of the integration, as the rules need it."""
        return Standing(
            self.id,
            self.status,
            self.error_count or 0,
            self.error_message,
            self.rejections,
            interval_minutes(self.health_check_interval_minutes),
        )


def last_success(database: Database, id: str) -> LastSuccess | None:
    """An integration's last successful check, or None."""
    return _last_successes(database, [id]).get(id)


def _last_successes(database: Database, ids: Sequence[str]) -> dict[str, LastSuccess]:
    if not ids:
        return {}
    found = database.rows(*among(database, _LAST_SUCCESSES, ids))
    return {
        str(row["id"]): LastSuccess(log_entry.read(row["metadata"]), row["checked_at"], row["failed_at"], row["off_at"])
        for row in found
    }


def record(
    database: Database,
    owner: str,
    results: Sequence[Result],
    *,
    check_type: str,
    agent: str,
    deadline_s: float,
    again: bool = False,
) -> Written:
    """Write log rows and statuses together and release the leases.

    A result whose lease was lost is dropped and not returned: another process has the lease now. An integration that
    was edited during its check keeps its status and is due at once. `again`: an earlier attempt with these results may
    have been committed; its results are returned too. A result that the database rejects becomes `self.crash` and does
    not affect the others. A result whose row is locked by another session keeps its lease and is not written.
    """
    write = partial(_record, database, owner, check_type=check_type, agent=agent, deadline_s=deadline_s)
    try:
        recorded = write(results)
    except _ITS_OWN_FAULT:
        recorded = {}
        for result in results:
            try:
                recorded |= write([result])
            except _ITS_OWN_FAULT:
                outcome = Outcome("self.crash", detail="the database rejected its result")
                recorded |= write([Result(result.claimed, outcome)])
    if again:
        recorded |= _written(database, [result for result in results if result.claimed.id not in recorded])
    return Written(recorded, _locked(database, owner, [one for one in results if one.claimed.id not in recorded]))


def hold_back(
    database: Database, owner: str, results: Sequence[Result], *, check_type: str, deadline_s: float
) -> dict[str, str]:
    """Release the leases of results whose rows another session keeps locked. Returns the released ids and names.

    Only the schedule is written: the result itself is lost, and the check is repeated within a minute.
    """
    with database.transaction():
        rows = _own(_held(database, owner, results, locked="s"), results)
        changes = []
        for result, row in rows:
            held = _lease(row, result.claimed, deadline_s)
            postponed = judge.postpone(row.standing, result.outcome, check_type, held)
            changes.append({"id": row.id, "rejections": postponed.rejections, "next_at": postponed.next_at})
        database.run_many(_HOLD_BACK, changes)
    return {row.id: row.name for _, row in rows}


def _held(database: Database, owner: str, results: Sequence[Result], *, locked: str) -> dict[str, _Held]:
    """The rows whose leases are still held. Locks those of the tables `locked` ("" for none)."""
    text, parameters = among(database, _HELD, [result.claimed.id for result in results])
    if locked:
        text += lease.lock(database.dialect, locked)
    return {row["id"]: _Held(**row) for row in database.rows(text, {**parameters, "owner": owner})}


def _own(held: Mapping[str, _Held], results: Sequence[Result]) -> list[tuple[Result, _Held]]:
    """The results whose lease still has their token, each with its row."""
    rows = [(result, held.get(result.claimed.id)) for result in results]
    return [(result, row) for result, row in rows if row and row.lease_token == result.claimed.lease_token]


def _locked(database: Database, owner: str, results: Sequence[Result]) -> frozenset[str]:
    """The results that were skipped although their lease is held: another session has locked their rows."""
    if database.dialect != POSTGRESQL or not results:
        return frozenset()
    return frozenset(row.id for _, row in _own(_held(database, owner, results, locked=""), results))


def _record(
    database: Database, owner: str, results: Sequence[Result], *, check_type: str, agent: str, deadline_s: float
) -> dict[str, Recorded]:
    with database.transaction():
        ours = _own(_held(database, owner, results, locked="s, i"), results)
        asking = [row.id for one, row in ours if judge.needs_last_proof(one.outcome)]
        before = _last_successes(database, asking)
        rows, recorded = [], {}
        for result, row in ours:
            id = row.id
            known = Result(result.claimed, _judged(result, before.get(id), row))
            written = _row(row, known, check_type=check_type, agent=agent, deadline_s=deadline_s)
            rows.append(written)
            became = str(written["status"]) if written["settles"] else row.status
            recorded[id] = Recorded(id, row.name, known.outcome, row.status, became)
        _write(database, rows)
        changes = (transitions.Change(one.id, one.was, one.became, one.outcome) for one in recorded.values())
        transitions.add(database, changes)
        hit("in_record")
    return recorded


def _judged(result: Result, before: LastSuccess | None, row: _Held) -> Outcome:
    """The outcome, compared with the last success."""
    claimed = result.claimed
    outcome = judge.apply_throttling(
        result.outcome,
        before,
        config_version=claimed.config_version,
        interval_minutes=row.standing.interval_minutes,
        now=row.now_at,
    )
    if judge.needs_last_success(outcome, claimed.provider):
        last = claimed.last_success if before is None else before
        outcome = judge.compare_with_last_success(outcome, last, claimed.config_version)
    return outcome


def _row(row: _Held, result: Result, *, check_type: str, agent: str, deadline_s: float) -> dict[str, object]:
    """The values that a result writes, for the row that holds its lease."""
    outcome, claimed = result.outcome, result.claimed
    held = _lease(row, claimed, deadline_s)
    decision = judge.decide(row.standing, outcome, check_type, held)
    settled, was, became = decision.settled, None, None
    if not held.is_edited and settled.status != row.status:
        was, became = row.status, settled.status
    return {
        "id": claimed.id,
        "rejections": decision.rejections,
        "next_at": decision.next_at,
        "settles": decision.settles,
        "status": settled.status,
        "error_message": settled.error_message,
        "error_count": settled.error_count,
        "logs": decision.logs,
        "log_id": new_log_id(),
        "check_type": check_type,
        "log_status": decision.log_status,
        "response_time_ms": outcome.response_time_ms,
        "log_message": None if outcome.verdict == "healthy" else outcome.message,
        "metadata": log_entry.write(outcome, agent, claimed.config_version, was=was, became=became),
        "lease_token": claimed.lease_token,
    }


def _lease(row: _Held, claimed: Claimed, deadline_s: float) -> Lease:
    claimed_at = row.lease_expires_at - timedelta(seconds=deadline_s + lease.MARGIN_S)
    return Lease(claimed_at, row.now_at, row.config_version != claimed.config_version, row.deleted_at is not None)


def _write(database: Database, rows: Sequence[Mapping[str, object]]) -> None:
    """Write all rows: one statement on PostgreSQL; on SQLite three prepared ones, at half the cost of a document."""
    if not rows:
        return
    if database.dialect == POSTGRESQL:
        document = json.dumps(rows, default=_iso, allow_nan=False)
        database.run(_WRITE_POSTGRESQL, {"results": document})
        return
    database.run_many(_RELEASE, rows)
    database.run_many(_STATUS, [row for row in rows if row["settles"]])
    database.run_many(_LOG, [row for row in rows if row["logs"]])


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError


def _written(database: Database, results: Sequence[Result]) -> dict[str, Recorded]:
    """The results that are already in the log."""
    if not results:
        return {}
    wanted = {(result.claimed.id, result.claimed.lease_token): result for result in results}
    found = {}
    text, parameters = among(database, _WRITTEN, [result.claimed.id for result in results])
    for row in database.rows(text, parameters):
        id = str(row["id"])
        result = wanted.get((id, row["lease_token"]))
        if result is not None:
            log, status = log_entry.read(row["metadata"]), result.claimed.status
            same = log.code is None or log.code == result.outcome.code
            outcome = result.outcome if same else Outcome(str(log.code), log.phase)
            found[id] = Recorded(id, result.claimed.name, outcome, log.was or status, log.became or status)
    return found


def set_aside(database: Database, *, agent: str) -> int:
    """Pause for one hour what was claimed three times and never completed, as `unknown`. Returns how many."""
    outcome = Outcome("self.set_aside")
    with database.transaction():
        stuck = database.rows(_STUCK + lease.lock(database.dialect, "s, i"))
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
                    "metadata": log_entry.write(outcome, agent, row["config_version"]),
                    "lease_token": row["lease_token"],
                },
            )
    return len(stuck)
