"""The notes of the agents' passes: one row for each agent.

Only the database's clock is used: an agent says how long ago its pass began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from intctl.db.connect import Database

#: How long an agent that no longer runs is still listed, in seconds.
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


class Agent(NamedTuple):
    """The identity of an agent: one for each host, and for each organisation if it serves only one."""

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


class PassNote(NamedTuple):
    """The note of a completed pass. No two passes have the same `metadata`, which is JSON."""

    duration_s: float
    checks: int
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NotedPass:
    """The sums of an agent's passes, and when the last one finished."""

    passes: int
    checks: int
    finished_at: datetime


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
    """Delete old transitions and the rows of agents that no longer run, in one of 60 passes."""
    if noted.passes % _PRUNE_EVERY == 0:
        database.run(_PRUNE)
        from intctl.store import transitions

        transitions.prune(database)


def fail(database: Database, agent: Agent, *, duration_s: float, failure: str) -> None:
    """Note a failed pass, and the reason in intctl's own words."""
    database.run(_FAIL, {**agent.values(), "began_s": -round(duration_s, 3), "failure": failure})
