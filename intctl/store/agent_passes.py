"""The last pass of each agent, as `agent status` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from intctl.db.connect import Database

_LIST = """
SELECT host, org_id, version, started_at, finished_at, failed_at, failure, passes, checks, metadata, {now} AS now_at
  FROM agent_passes"""


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
