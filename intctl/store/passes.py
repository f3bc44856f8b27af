"""The agents' passes, one row for each agent, and the gauges of a metrics file.

Only the database's clock is used: an agent says how long ago its pass began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from intctl.db.connect import Database
from intctl.db.url import POSTGRESQL, SQLITE
from intctl.health import log_entry
from intctl.health.log_entry import LogMetadata
from intctl.store import transitions
from intctl.store.current import OFF_AT, is_current

#: How long an agent that is gone is still listed, in seconds.
KEPT_S = 30 * 86_400
#: Old rows are deleted in one of this many passes.
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

# The newest log of each, found by the covering index. With SQLite's text, PostgreSQL may read all logs.
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


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as its row knows it: one for each host, and for each organisation where it serves only one."""

    host: str
    org_id: str | None
    version: str

    @property
    def id(self) -> str:
        """The key of the agent's row."""
        return f"{self.host} {self.org_id}" if self.org_id else self.host

    def values(self) -> dict[str, object]:
        """The agent as parameters of a statement."""
        return {"id": self.id, "host": self.host, "org_id": self.org_id, "version": self.version}


@dataclass(frozen=True, slots=True)
class PassNote:
    """What is noted of a completed pass. No two passes have the same `metadata`, which is JSON."""

    duration_s: float
    checks: int
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NotedPass:
    """The sums of an agent's passes, and when the last one finished."""

    passes: int
    checks: int
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class AgentPass:
    """The last pass of an agent. `age_s` is the time since its finish, `last` the metadata of its note."""

    host: str
    org_id: str | None
    version: str
    started_at: datetime | None
    finished_at: datetime | None
    failed_at: datetime | None
    failure: str | None
    passes: int
    checks: int
    age_s: float | None
    last: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gauge:
    """What is measured of an integration. `newest` is its newest check, current or not."""

    id: str
    org_id: str
    name: str
    provider: str
    type: str
    status: str | None
    error_count: int | None
    last_health_check: datetime | None
    response_time_ms: int | None
    newest: LogMetadata
    is_current: bool


def begin(database: Database, agent: Agent) -> None:
    """Note the start of a pass that has something to do, so that a hanging pass can be seen."""
    database.run(_BEGIN, agent.values())


def finish(database: Database, agent: Agent, note: PassNote, *, again: bool = False) -> NotedPass:
    """Note a completed pass.

    `again`: it may be noted already, by a statement whose reply was lost. It is recognised by its metadata.
    """
    if again:
        found = database.row(_NOTED, {"id": agent.id})
        if found is not None and found.pop("metadata") == note.metadata:
            return NotedPass(**found)
    values = {"began_s": -round(note.duration_s, 3), "checks": note.checks, "metadata": dict(note.metadata)}
    noted = database.row(_FINISH, {**agent.values(), **values})
    assert noted is not None
    return NotedPass(**noted)


def prune(database: Database, noted: NotedPass) -> None:
    """Delete the rows of agents that are gone and old transitions, in one of 60 passes."""
    if noted.passes % _PRUNE_EVERY == 0:
        database.run(_PRUNE)
        transitions.prune(database)


def fail(database: Database, agent: Agent, *, duration_s: float, failure: str) -> None:
    """Note a failed pass, and the reason in our own words."""
    database.run(_FAIL, {**agent.values(), "began_s": -round(duration_s, 3), "failure": failure})


def agents(database: Database, org_id: str | None = None) -> list[AgentPass]:
    """The last pass of each agent, by host; with `org_id` only of the agents that serve it."""
    text = f"{_LIST} WHERE org_id IS NULL OR org_id = :org_id" if org_id else _LIST
    return [
        _agent_pass(**row) for row in database.rows(f"{text} ORDER BY host, id", {"org_id": org_id} if org_id else None)
    ]


def _agent_pass(*, now_at: datetime, finished_at: datetime | None, metadata: object, **columns: Any) -> AgentPass:
    known = metadata if isinstance(metadata, dict) else {}
    return AgentPass(
        **columns,
        finished_at=finished_at,
        age_s=None if finished_at is None else max((now_at - finished_at).total_seconds(), 0.0),
        last={key: known[key] for key in sorted(known)},  # jsonb does not keep an order
    )


def gauges(database: Database, org_id: str | None = None) -> list[Gauge]:
    """What is measured of each living integration: status, newest check, failures in a row."""
    scope = "AND i.org_id = :org_id" if org_id else ""
    text = _GAUGES.replace("{newest}", _JOIN[database.dialect]).replace("{scope}", scope)
    return [_gauge(**row) for row in database.rows(text, {"org_id": org_id} if org_id else None)]


def _gauge(*, metadata: object, config_version: int, off_at: datetime | None, **columns: Any) -> Gauge:
    newest = log_entry.read(metadata)
    current = is_current(
        newest,
        config_version=config_version,
        status=columns["status"],
        off_at=off_at,
        last_health_check=columns["last_health_check"],
    )
    return Gauge(**columns, newest=newest, is_current=current)
