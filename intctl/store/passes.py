"""The agents' passes: one row for each agent, and what a monitoring system reads beside them.

Only the database's clock is used: an agent says how long ago its pass began.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intctl.db.connect import Database
from intctl.db.url import POSTGRESQL, SQLITE
from intctl.store import transitions
from intctl.store.reads import OFF_AT

Row = dict[str, Any]

#: How long an agent that is gone is still listed, in seconds.
KEPT_S = 30 * 86_400
#: Old rows are looked for in one of so many passes.
_PRUNE_EVERY = 60

_BEGIN = """
INSERT INTO agent_passes (id, host, org_id, version, started_at) VALUES (:id, :host, :org_id, :version, {now})
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, started_at = excluded.started_at"""
_FINISH = """
INSERT INTO agent_passes (id, host, org_id, version, started_at, finished_at, passes, checks, metadata)
VALUES (:id, :host, :org_id, :version, {after :began_s}, {now}, 1, :checks, :metadata)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, started_at = excluded.started_at,
       finished_at = excluded.finished_at, failed_at = NULL, failure = NULL, passes = agent_passes.passes + 1,
       checks = agent_passes.checks + excluded.checks, metadata = excluded.metadata
RETURNING passes, checks, finished_at"""
_NOTED = "SELECT passes, checks, finished_at, metadata FROM agent_passes WHERE id = :id"
_FAIL = """
INSERT INTO agent_passes (id, host, org_id, version, started_at, failed_at, failure)
VALUES (:id, :host, :org_id, :version, {after :began_s}, {now}, :failure)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, started_at = excluded.started_at,
       failed_at = excluded.failed_at, failure = excluded.failure"""
_PRUNE = f"DELETE FROM agent_passes WHERE coalesce(finished_at, started_at) < {{after -{KEPT_S}}}"

_LIST = """
SELECT host, org_id, version, started_at, finished_at, failed_at, failure, passes, checks, metadata, {now} AS now_at
  FROM agent_passes"""

# The newest log of each, found by the covering index. Asked for SQLite's way, PostgreSQL may read all logs.
_NEWEST = """FROM integration_health_logs n WHERE n.integration_id = i.id
         ORDER BY n.checked_at DESC, n.id DESC LIMIT 1"""
_JOIN = {
    SQLITE: f"LEFT JOIN integration_health_logs l ON l.id = (SELECT n.id {_NEWEST})",
    POSTGRESQL: f"LEFT JOIN LATERAL (SELECT n.response_time_ms, n.metadata {_NEWEST}) l ON TRUE",
}
_GAUGES = f"""
SELECT i.id, i.org_id, i.name, i.provider, i.type, i.status, i.error_count, i.last_health_check, i.config_version,
       l.response_time_ms, l.metadata, {OFF_AT}
  FROM integrations i {{newest}} WHERE i.deleted_at IS NULL {{scope}} ORDER BY i.org_id, i.id"""


def agent_id(host: str, org_id: str | None) -> str:
    """What one agent's row is known by: its host, and its organisation where it serves only one."""
    return f"{host} {org_id}" if org_id else host


def _agent(host: str, org_id: str | None, version: str) -> Row:
    return {"id": agent_id(host, org_id), "host": host, "org_id": org_id, "version": version}


def begin(database: Database, *, host: str, org_id: str | None, version: str) -> None:
    """Notes that a pass began which has something to do: one that hangs is seen by it."""
    database.run(_BEGIN, _agent(host, org_id, version))


def finish(
    database: Database,
    *,
    host: str,
    org_id: str | None,
    version: str,
    duration_s: float,
    checks: int,
    metadata: Mapping[str, Any],
    again: bool = False,
) -> Row:
    """Notes a pass that was completed: the agent's passes and checks until now, and when it finished.

    `again`: it may be noted already, by a statement whose answer was lost. It is known by its metadata.
    """
    if again:
        found = database.row(_NOTED, {"id": agent_id(host, org_id)})
        if found is not None and found.pop("metadata") == metadata:
            return found
    values = {"began_s": -round(duration_s, 3), "checks": checks, "metadata": dict(metadata)}
    noted = database.row(_FINISH, {**_agent(host, org_id, version), **values})
    assert noted is not None
    if noted["passes"] % _PRUNE_EVERY == 0:
        database.run(_PRUNE)
        transitions.prune(database)
    return noted


def fail(database: Database, *, host: str, org_id: str | None, version: str, duration_s: float, failure: str) -> None:
    """Notes a pass that failed, and why, in our own words."""
    values = {"began_s": -round(duration_s, 3), "failure": failure}
    database.run(_FAIL, {**_agent(host, org_id, version), **values})


def agents(database: Database, org_id: str | None = None) -> list[Row]:
    """Each agent's last pass, by host; with `org_id` only of those that serve it. `age_s` is since its finish."""
    text = f"{_LIST} WHERE org_id IS NULL OR org_id = :org_id" if org_id else _LIST
    found = database.rows(f"{text} ORDER BY host, id", {"org_id": org_id} if org_id else None)
    for row in found:
        now = row.pop("now_at")
        row["age_s"] = None if row["finished_at"] is None else max((now - row["finished_at"]).total_seconds(), 0.0)
        metadata = row.pop("metadata")
        known = metadata if isinstance(metadata, dict) else {}
        row["last"] = {key: known[key] for key in sorted(known)}  # jsonb does not keep an order
    return found


def gauges(database: Database, org_id: str | None = None) -> list[Row]:
    """What there is to measure of each living integration: status, newest check, failures in a row."""
    scope = "AND i.org_id = :org_id" if org_id else ""
    text = _GAUGES.replace("{newest}", _JOIN[database.dialect]).replace("{scope}", scope)
    return database.rows(text, {"org_id": org_id} if org_id else None)
