"""The last pass of each agent, and whether it finished in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from intctl.db.connect import Database
from intctl.store import agent_passes
from intctl.store.undelivered import Undelivered


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """The last pass of one agent. `age_s` counts from its end; `last` is the summary that the agent recorded.

    `held_back` are the integrations that it could not record, because another database session keeps their rows locked.
    The notifications are those of all agents.
    """

    host: str
    org_id: str | None
    version: str
    started_at: datetime | None
    finished_at: datetime | None
    age_s: float | None
    failed_at: datetime | None
    failure: str | None
    passes: int
    checks: int | None
    last: Mapping[str, object]
    held_back: tuple[str, ...]
    limit_s: float
    notifications_pending: int = 0
    notifications_dead: int = 0

    @property
    def in_time(self) -> bool:
        """Whether its last pass finished within the limit."""
        return self.age_s is not None and self.age_s <= self.limit_s

    @property
    def state(self) -> str:
        """`ok`, `late` or `failed`."""
        return "failed" if self.failure is not None else "ok" if self.in_time else "late"


def agents(database: Database, org_id: str | None, limit_s: float, undelivered: Undelivered) -> list[AgentStatus]:
    """The last pass of each agent, by host; with `org_id`, only of agents that serve it."""
    found = agent_passes.agents(database, org_id)
    return [
        AgentStatus(
            **{one.name: getattr(seen, one.name) for one in fields(seen)},
            limit_s=limit_s,
            notifications_pending=undelivered.pending,
            notifications_dead=undelivered.dead,
        )
        for seen in found
    ]
