"""An outbox of transitions into or out of the status error, until they are reported.

A transition is written in the transaction that changes the status, so neither exists without the other.
An agent takes a lease before it reports one, with a token that only rises, and marks the row afterwards: two agents
never report the same transition at the same time, and the transitions of one integration are reported in order. A
transition that was begun but not marked (the agent was killed) is begun again when the lease has expired, at most
three times; only then can one be reported twice. Transitions of an integration in maintenance wait until the
maintenance is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from intctl.db import lease
from intctl.db.connect import Database
from intctl.db.ids import new_log_id
from intctl.db.url import POSTGRESQL
from intctl.health.outcome import Outcome

#: Transitions older than this, in seconds, are never reported: a new `--on-change` does not start with last week.
NEWS_S = 86_400
#: How often the delivery of one transition is begun.
MAX_ATTEMPTS = 3
#: How long transitions are kept, in seconds, and how many are deleted at once.
KEPT_S = 7 * 86_400
_PRUNED_AT_ONCE = 1000

_ADD = """
INSERT INTO integration_transitions (id, integration_id, from_status, to_status, verdict, code, message, changed_at)
VALUES (:id, :integration_id, :from_status, :to_status, :verdict, :code, :message, {now})"""

_WAITING = f"""
t.told_at IS NULL AND coalesce(t.quiet_until, t.changed_at) > {{after -{NEWS_S}}} AND t.attempts < {MAX_ATTEMPTS}
   AND {lease.is_free("t")}"""
_PENDING = f"{_WAITING} AND (t.quiet_until IS NULL OR t.quiet_until <= {{now}})"
# The earlier ones of the same integration first, also those that another agent is delivering at this moment.
_FIRST = f"""
NOT EXISTS (SELECT 1 FROM integration_transitions o
             WHERE o.integration_id = t.integration_id AND o.told_at IS NULL
               AND coalesce(o.quiet_until, o.changed_at) > {{after -{NEWS_S}}}
               AND (o.attempts < {MAX_ATTEMPTS} OR o.lease_expires_at > {{now}})
               AND (o.changed_at < t.changed_at OR (o.changed_at = t.changed_at AND o.id < t.id)))"""
_FROM = """
  FROM integration_transitions t JOIN integrations i ON i.id = t.integration_id"""
_DUE = f"SELECT 1 AS found{_FROM} WHERE {_PENDING} {{scope}} LIMIT 1"
_CANDIDATES = f"""
SELECT t.id{_FROM} WHERE {_PENDING} AND {_FIRST} {{scope}} ORDER BY t.changed_at, t.id LIMIT :limit"""
_TAKE = lease.take("t")
_CLAIM_POSTGRESQL = f"""
WITH due AS MATERIALIZED ({_CANDIDATES} FOR UPDATE OF t SKIP LOCKED)
UPDATE integration_transitions t SET {_TAKE} FROM due WHERE t.id = due.id RETURNING t.id"""
_CLAIM_SQLITE = f"UPDATE integration_transitions AS t SET {_TAKE} WHERE t.id IN ({_CANDIDATES}) RETURNING id"
_CLAIMED = f"""
SELECT t.id, t.integration_id, t.from_status, t.to_status, t.verdict, t.code, t.message, t.changed_at,
       t.lease_token, t.attempts, i.name, i.org_id, i.provider, i.type{_FROM}
 WHERE t.lease_owner = :owner AND t.told_at IS NULL ORDER BY t.changed_at, t.id"""
_TOLD = f"""
UPDATE integration_transitions SET told_at = {{now}}, exit_code = :exit_code, {lease.RELEASE}
 WHERE id = :id AND lease_owner = :owner AND lease_token = :lease_token"""
_LIST_WAITING = f"""
SELECT t.id, t.integration_id, i.org_id, t.from_status, t.to_status, t.changed_at, t.quiet_until, {{now}} AS now_at
{_FROM} WHERE {_WAITING} {{scope}} ORDER BY t.integration_id, t.changed_at, t.id"""
_QUIET = "UPDATE integration_transitions AS t SET quiet_until = :until WHERE t.id = :id AND t.told_at IS NULL"
_DROP = f"UPDATE integration_transitions AS t SET told_at = {{now}} WHERE t.id = :id AND {_WAITING}"
_IS_TOLD = """
SELECT 1 AS found FROM integration_transitions WHERE id = :id AND lease_token = :lease_token AND told_at IS NOT NULL"""
_GIVE_BACK = f"""
UPDATE integration_transitions SET {lease.RELEASE}
 WHERE id = :id AND lease_owner = :owner AND lease_token = :lease_token"""
_PRUNE = f"""
DELETE FROM integration_transitions WHERE id IN (
  SELECT id FROM integration_transitions
   WHERE changed_at < {{after -{KEPT_S}}} AND coalesce(quiet_until, changed_at) < {{after -{KEPT_S}}}
   LIMIT {_PRUNED_AT_ONCE})"""


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


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition that this process may deliver now, under `lease_token`; `attempts` includes this one."""

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
    """Claim up to `limit` due transitions, oldest first, at most one of each integration."""
    due, parameters = _scoped(_DUE, org_id)
    if database.row(due, parameters) is None:  # nearly always, and then no pass takes a lock for it
        return []
    text, _ = _scoped(_CLAIM_POSTGRESQL if database.dialect == POSTGRESQL else _CLAIM_SQLITE, org_id)
    with database.transaction():
        rows = database.rows(text, {**parameters, "owner": owner, "limit": limit, "lease_s": lease_s})
        taken = {row["id"] for row in rows}
        mine = [Transition(**row) for row in database.rows(_CLAIMED, {"owner": owner})]
    return [one for one in mine if one.id in taken]


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
    database.run(_QUIET, {"id": id, "until": until})


def drop(database: Database, id: str) -> None:
    """Mark a transition as delivered, without delivering it."""
    database.run(_DROP, {"id": id})


def mark_delivered(
    database: Database, owner: str, one: Transition, exit_code: int | None, *, again: bool = False
) -> bool:
    """Mark a transition as delivered. False when the lease was lost: another agent delivers it as well.

    `again`: it may be marked already, by a statement whose reply was lost.
    """
    key = {"id": one.id, "lease_token": one.lease_token}
    if database.run(_TOLD, {**key, "owner": owner, "exit_code": exit_code}) == 1:
        return True
    return again and database.row(_IS_TOLD, key) is not None


def give_back(database: Database, owner: str, one: Transition) -> None:
    """Release a transition whose delivery could not even begin; it stays due, and the attempt counts."""
    database.run(_GIVE_BACK, {"id": one.id, "owner": owner, "lease_token": one.lease_token})


def prune(database: Database) -> int:
    """Delete old transitions, a limited number at once. Returns how many."""
    return database.run(_PRUNE)
