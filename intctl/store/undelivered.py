"""Notifications that were not delivered: those that wait for an attempt, and dead letters."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from intctl.db.connect import Database

_FROM = """
  FROM integration_transitions t JOIN integrations i ON i.id = t.integration_id
 WHERE t.told_at IS NULL {scope}"""
_COUNT = f"""
SELECT count(CASE WHEN t.failed_at IS NULL THEN 1 END) AS pending,
       count(CASE WHEN t.failed_at IS NULL AND t.last_error IS NOT NULL THEN 1 END) AS retrying,
       count(t.failed_at) AS dead{_FROM}"""
_DEAD = f"""
SELECT t.id, i.name, t.from_status, t.to_status, t.failed_at, t.last_error{_FROM} AND t.failed_at IS NOT NULL
 ORDER BY t.failed_at DESC, t.id DESC LIMIT :limit"""
_AGAIN = "UPDATE integration_transitions SET failed_at = NULL, next_attempt_at = NULL, attempts = 0"
_AGAIN_DEAD = f"{_AGAIN} WHERE id IN (SELECT t.id{_FROM} AND t.failed_at IS NOT NULL)"
# An older one is delivered with the newest of its integration, so that one becomes due as well.
_AGAIN_ONE = f"""
{_AGAIN} WHERE id IN (SELECT t.id{_FROM} AND (
    i.name = :name OR CAST(i.id AS TEXT) = :id OR CAST(t.id AS TEXT) = :id
    OR (t.failed_at IS NULL AND EXISTS (
          SELECT 1 FROM integration_transitions o
           WHERE o.integration_id = t.integration_id AND o.told_at IS NULL AND CAST(o.id AS TEXT) = :id))))"""


class Undelivered(NamedTuple):
    """How many notifications were not delivered. `pending` includes `retrying`: those with a failed attempt."""

    pending: int = 0
    retrying: int = 0
    dead: int = 0


class DeadLetter(NamedTuple):
    """A notification without an attempt left. `name` is that of the integration."""

    id: str
    name: str
    from_status: str
    to_status: str
    failed_at: datetime
    last_error: str | None


def count(database: Database, org_id: str | None = None) -> Undelivered:
    """Count the undelivered notifications of one organisation, or of all."""
    row = database.row(*_scoped(_COUNT, org_id))
    assert row is not None
    return Undelivered(**row)


def dead_letters(database: Database, org_id: str | None = None, *, limit: int) -> list[DeadLetter]:
    """The newest dead letters."""
    text, parameters = _scoped(_DEAD, org_id)
    return [DeadLetter(**row) for row in database.rows(text, {**parameters, "limit": limit})]


def retell_dead(database: Database, org_id: str | None = None) -> int:
    """Make all dead letters due at once, with all attempts. Returns how many."""
    return database.run(*_scoped(_AGAIN_DEAD, org_id))


def retell(database: Database, which: str, org_id: str | None = None) -> int:
    """Make undelivered notifications due at once, with all attempts: one by its id, or all of an integration.

    Returns how many are due; 0 if none is known as `which`.
    """
    text, parameters = _scoped(_AGAIN_ONE, org_id)
    return database.run(text, {**parameters, "id": which.lower(), "name": which})


def _scoped(sql: str, org_id: str | None) -> tuple[str, dict[str, object]]:
    if org_id is None:
        return sql.replace("{scope}", ""), {}
    return sql.replace("{scope}", "AND i.org_id = :org_id"), {"org_id": org_id}
