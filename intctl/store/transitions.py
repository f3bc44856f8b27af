"""An outbox of transitions into or out of the status error, until they are delivered.

A transition is written in the transaction that changes the status, so neither exists without the other.
An agent takes a lease before it delivers one, with a token that only rises, and marks the row afterwards: two agents
never deliver transitions of the same integration at the same time. The newest one of an integration is claimed, with
the undelivered older ones, so a new status never waits for the retries of an older one. A failed one is due again at
`next_attempt_at`; after its last attempt it is a dead letter, since `failed_at`, until a person sends it again. One
that was begun but not marked (the agent was killed) is begun again when the lease has expired; only then can one be
delivered twice. Transitions of an integration in maintenance wait until the maintenance is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from intctl.db import lease
from intctl.db.connect import Database
from intctl.db.ids import new_log_id
from intctl.db.url import POSTGRESQL
from intctl.health import log_entry
from intctl.health.log_entry import NO_METADATA, LogMetadata
from intctl.health.outcome import Outcome

#: How long a delivered transition and a dead letter are kept, in seconds, and how many are deleted at once.
KEPT_S = 30 * 86_400
_PRUNED_AT_ONCE = 1000
#: The latest next attempt, in seconds from now. A later one was set before the clock was set back, and is due.
LATEST_ATTEMPT_S = 10 * 86_400
# The key is "outbox" in ASCII. One claim at a time sees the leases of the others. Tried and not waited for: an agent
# that is frozen while it claims must not stop another agent's pass.
_ONE_CLAIM = f"SELECT pg_try_advisory_xact_lock({0x6F7574626F78}) AS is_locked"

_ADD = """
INSERT INTO integration_transitions (id, integration_id, from_status, to_status, verdict, code, message, changed_at)
VALUES (:id, :integration_id, :from_status, :to_status, :verdict, :code, :message, {now})"""

_OPEN = "t.told_at IS NULL AND t.failed_at IS NULL"
_WAITING = f"{_OPEN} AND {lease.is_free('t')}"
_IS_TIME = f"(t.next_attempt_at IS NULL OR {lease.is_past('t.next_attempt_at', longest_s=LATEST_ATTEMPT_S)})"
_PENDING = f"{_WAITING} AND {_IS_TIME} AND (t.quiet_until IS NULL OR t.quiet_until <= {{now}})"
_NEWER = "(o.changed_at > t.changed_at OR (o.changed_at = t.changed_at AND o.id > t.id))"
# None of the same integration is newer, and no agent is delivering one at this moment.
_NEWEST = f"""
NOT EXISTS (SELECT 1 FROM integration_transitions o
             WHERE o.integration_id = t.integration_id AND o.told_at IS NULL AND o.id <> t.id
               AND ((o.failed_at IS NULL AND {_NEWER}) OR NOT {lease.is_free("o")}))"""
_FROM = """
  FROM integration_transitions t JOIN integrations i ON i.id = t.integration_id"""
_DUE = f"SELECT 1 AS found{_FROM} WHERE {_PENDING} AND {_NEWEST} {{scope}} LIMIT 1"
_CANDIDATES = f"""
SELECT t.id{_FROM} WHERE {_PENDING} AND {_NEWEST} {{scope}} ORDER BY t.changed_at, t.id LIMIT :limit"""
_TAKE = lease.take("t")
_CLAIM_POSTGRESQL = f"""
WITH due AS MATERIALIZED ({_CANDIDATES} FOR UPDATE OF t SKIP LOCKED)
UPDATE integration_transitions t SET {_TAKE} FROM due WHERE t.id = due.id RETURNING t.id"""
_CLAIM_SQLITE = f"UPDATE integration_transitions AS t SET {_TAKE} WHERE t.id IN ({_CANDIDATES}) RETURNING id"
_CLAIMED = f"""
SELECT t.id, t.integration_id, t.from_status, t.to_status, t.verdict, t.code, t.message, t.changed_at,
       t.lease_token, t.attempts, i.name, i.org_id, i.provider, i.type,
       (SELECT l.metadata FROM integration_health_logs l WHERE l.integration_id = t.integration_id
           AND l.status = 'failure' ORDER BY l.checked_at DESC, l.id DESC LIMIT 1) AS metadata{_FROM}
 WHERE t.lease_owner = :owner AND t.told_at IS NULL ORDER BY t.changed_at, t.id"""
_MISSED = """
SELECT o.id, o.from_status, o.to_status, o.changed_at, o.code
  FROM integration_transitions o JOIN integration_transitions t ON t.integration_id = o.integration_id
 WHERE t.id = :id AND o.told_at IS NULL
   AND (o.changed_at < t.changed_at OR (o.changed_at = t.changed_at AND o.id < t.id))
 ORDER BY o.changed_at, o.id"""
_OURS = "id = :id AND lease_owner = :owner AND lease_token = :lease_token"
_TOLD = f"""
UPDATE integration_transitions
   SET told_at = {{now}}, exit_code = :exit_code, last_error = NULL, next_attempt_at = NULL, {lease.RELEASE}
 WHERE {_OURS}"""
_TOLD_WITH = """
UPDATE integration_transitions SET told_at = {now}, failed_at = NULL, next_attempt_at = NULL, told_with = :newer
 WHERE id = :id AND told_at IS NULL"""
_RETRY = f"""
UPDATE integration_transitions
   SET next_attempt_at = {{after :delay_s}}, last_error = :error, exit_code = :exit_code, {lease.RELEASE}
 WHERE {_OURS} RETURNING next_attempt_at"""
_NEXT = "SELECT next_attempt_at FROM integration_transitions WHERE id = :id AND lease_token = :lease_token"
_BURY = f"""
UPDATE integration_transitions
   SET failed_at = {{now}}, next_attempt_at = NULL, last_error = :error, exit_code = :exit_code, {lease.RELEASE}
 WHERE {_OURS}"""
_BURY_WITH = """
UPDATE integration_transitions SET failed_at = {now}, next_attempt_at = NULL, last_error = coalesce(last_error, :error)
 WHERE id = :id AND told_at IS NULL AND failed_at IS NULL"""
_DISCARD = f"DELETE FROM integration_transitions WHERE {_OURS}"
_DISCARD_WITH = "DELETE FROM integration_transitions WHERE id = :id AND told_at IS NULL"
_LIST_WAITING = f"""
SELECT t.id, t.integration_id, i.org_id, t.from_status, t.to_status, t.changed_at, t.quiet_until, {{now}} AS now_at
{_FROM} WHERE {_WAITING} {{scope}} ORDER BY t.integration_id, t.changed_at, t.id"""
# The row is found first: those of an integration that another session is deleting are locked, and skipped.
_QUIET = """
UPDATE integration_transitions SET quiet_until = :until WHERE id IN (
  SELECT t.id FROM integration_transitions t WHERE t.id = :id AND t.told_at IS NULL{lock})"""
_DROP = f"""
UPDATE integration_transitions SET told_at = {{now}} WHERE id IN (
  SELECT t.id FROM integration_transitions t WHERE t.id = :id AND {_WAITING}{{lock}})"""
_IS_TOLD = """
SELECT 1 AS found FROM integration_transitions WHERE id = :id AND lease_token = :lease_token AND told_at IS NOT NULL"""
_GIVE_BACK = f"UPDATE integration_transitions SET {lease.GIVE_BACK} WHERE {_OURS}"
_PRUNE = f"""
DELETE FROM integration_transitions WHERE id IN (
  SELECT t.id FROM integration_transitions t
   WHERE coalesce(t.told_at, t.failed_at) < {{after -{KEPT_S}}} LIMIT {_PRUNED_AT_ONCE}{{lock}})"""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of status by a check, and the findings of the check."""

    integration_id: str
    from_status: str
    to_status: str
    outcome: Outcome

    @property
    def is_notifiable(self) -> bool:
        """Whether the change is reported: it is into or out of the status error."""
        return self.from_status != self.to_status and "error" in (self.from_status, self.to_status)


class Missed(NamedTuple):
    """An older transition that was not delivered before a newer one of its integration."""

    id: str
    from_status: str
    to_status: str
    changed_at: datetime
    code: str | None


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition that this process may deliver now, under `lease_token`; `attempts` includes this one.

    `metadata` is that of the newest failure, for the next step.
    `missed` are the older ones of its integration that were not delivered, oldest first. They are delivered with it.
    """

    id: str
    integration_id: str
    from_status: str
    to_status: str
    verdict: str | None
    code: str | None
    message: str | None
    changed_at: datetime
    lease_token: int
    attempts: int
    name: str
    org_id: str
    provider: str
    type: str
    metadata: LogMetadata = NO_METADATA
    missed: tuple[Missed, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitingTransition:
    """A transition that is neither delivered nor being delivered; it is held back until `quiet_until`.

    `now_at` is the moment of the look-up, by the database's clock.
    """

    id: str
    integration_id: str
    org_id: str
    from_status: str
    to_status: str
    changed_at: datetime
    quiet_until: datetime | None
    now_at: datetime


def add(database: Database, changes: Iterable[Change]) -> None:
    """Write the notifiable ones of `changes`, inside the transaction that is open."""
    rows = [
        {
            "id": new_log_id(),
            "integration_id": change.integration_id,
            "from_status": change.from_status,
            "to_status": change.to_status,
            "verdict": change.outcome.verdict,
            "code": change.outcome.code,
            "message": change.outcome.message,
        }
        for change in changes
        if change.is_notifiable
    ]
    for row in rows:  # one by one: changes are few, and on PostgreSQL many at once go through a pipeline
        database.run(_ADD, row)


def claim(database: Database, owner: str, *, limit: int, lease_s: float, org_id: str | None = None) -> list[Transition]:
    """Claim up to `limit` due transitions, oldest first: of each integration the newest, with those it missed.

    Nothing while another agent is claiming: the next pass continues.
    """
    due, parameters = _scoped(_DUE, org_id)
    if database.row(due, parameters) is None:  # nearly always, and then no pass takes a lock for it
        return []
    text, _ = _scoped(_CLAIM_POSTGRESQL if database.dialect == POSTGRESQL else _CLAIM_SQLITE, org_id)
    with database.transaction():
        if database.dialect == POSTGRESQL and database.row(_ONE_CLAIM) != {"is_locked": True}:
            return []
        rows = database.rows(text, {**parameters, "owner": owner, "limit": limit, "lease_s": lease_s})
        taken = {row["id"] for row in rows}
        found = [row for row in database.rows(_CLAIMED, {"owner": owner}) if row["id"] in taken]
        return [
            Transition(**{**row, "metadata": log_entry.read(row["metadata"])}, missed=_missed(database, row["id"]))
            for row in found
        ]


def _missed(database: Database, id: object) -> tuple[Missed, ...]:
    return tuple(Missed(**row) for row in database.rows(_MISSED, {"id": id}))


def _scoped(sql: str, org_id: str | None) -> tuple[str, dict[str, object]]:
    """`sql` for one organisation or all, and its parameter."""
    if org_id is None:
        return sql.replace("{scope}", ""), {}
    return sql.replace("{scope}", "AND i.org_id = :org_id"), {"org_id": org_id}


def waiting(database: Database, org_id: str | None = None) -> list[WaitingTransition]:
    """The transitions that wait to be delivered, held back or not; those of one integration together, in order."""
    return [WaitingTransition(**row) for row in database.rows(*_scoped(_LIST_WAITING, org_id))]


def quieten(database: Database, id: str, until: datetime | None) -> None:
    """Hold a transition back until that moment; None releases it."""
    database.run(_skipping(database, _QUIET), {"id": id, "until": until})


def drop(database: Database, id: str) -> None:
    """Mark a transition as delivered, without delivering it."""
    database.run(_skipping(database, _DROP), {"id": id})


def _skipping(database: Database, sql: str) -> str:
    return sql.replace("{lock}", lease.lock(database.dialect, "t"))


def mark_delivered(
    database: Database, owner: str, one: Transition, exit_code: int | None, *, again: bool = False
) -> bool:
    """Mark a transition and those it missed as delivered. False when the lease was lost: another agent delivers it too.

    `again`: it may be marked already, by a statement whose reply was lost.
    """
    with database.transaction():
        if database.run(_TOLD, {**_key(owner, one), "exit_code": exit_code}) == 1:
            for older in one.missed:
                database.run(_TOLD_WITH, {"id": older.id, "newer": one.id})
            return True
    return again and database.row(_IS_TOLD, {"id": one.id, "lease_token": one.lease_token}) is not None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt. `error` is in intctl's own words, without a secret; `exit_code` that of the command.

    `delay_s` is the time until the next attempt in seconds; None after the last one.
    """

    error: str
    exit_code: int | None
    delay_s: float | None


class Marked(NamedTuple):
    """A failed transition after its mark; `next_attempt_at` is None for a dead letter.

    `was_ours` is False when the lease was lost: another agent delivers it too.
    """

    was_ours: bool
    next_attempt_at: datetime | None


def mark_failed(database: Database, owner: str, one: Transition, failure: Failure, *, again: bool = False) -> Marked:
    """Release a transition until its next attempt. After the last it is a dead letter, with those it missed.

    `again`: it may be marked already, by a statement whose reply was lost.
    """
    values = {**_key(owner, one), "error": failure.error, "exit_code": failure.exit_code}
    with database.transaction():
        if failure.delay_s is not None:
            if (row := database.row(_RETRY, {**values, "delay_s": failure.delay_s})) is not None:
                return Marked(True, row["next_attempt_at"])
        elif database.run(_BURY, values) == 1:
            for older in one.missed:
                database.run(_BURY_WITH, {"id": older.id, "error": failure.error})
            return Marked(True, None)
    row = database.row(_NEXT, {"id": one.id, "lease_token": one.lease_token}) if again else None
    return Marked(False, None) if row is None else Marked(True, row["next_attempt_at"])


def discard(database: Database, owner: str, one: Transition) -> None:
    """Delete a transition and those it missed: its organisation keeps no dead letters."""
    with database.transaction():
        if database.run(_DISCARD, _key(owner, one)) == 1:
            for older in one.missed:
                database.run(_DISCARD_WITH, {"id": older.id})


def give_back(database: Database, owner: str, one: Transition) -> None:
    """Release a transition whose delivery was not begun; it stays due, and no attempt is counted."""
    database.run(_GIVE_BACK, _key(owner, one))


def _key(owner: str, one: Transition) -> dict[str, object]:
    return {"id": one.id, "owner": owner, "lease_token": one.lease_token}


def prune(database: Database) -> int:
    """Delete transitions that were delivered or failed long ago, a limited number at once. Returns how many."""
    return database.run(_skipping(database, _PRUNE))
