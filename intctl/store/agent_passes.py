"""The last pass of each agent, as `agent status` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from intctl.db.connect import Database, among
from intctl.health import log_entry
from intctl.health.codes import CODES

_LIST = """
SELECT host, org_id, version, started_at, finished_at, failed_at, failure, passes, checks, metadata, {now} AS now_at
  FROM agent_passes"""
_NAMES = "SELECT id, org_id, name FROM integrations WHERE deleted_at IS NULL AND id {among}"

_CHECKED = """
SELECT l.metadata FROM integration_health_logs l JOIN integrations i ON i.id = l.integration_id
 WHERE i.org_id = :org_id AND l.check_type = 'scheduled'
   AND l.checked_at >= :began_at AND l.checked_at <= :finished_at"""

#: What a pass of all organisations notes that is no count of them.
_COMMON = ("duration_s", "history", "keys", "out_of_time", "pass_id", "stopped")


@dataclass(frozen=True, slots=True)
class AgentPass:
    """The last pass of an agent. `age_s` is the time since its finish, `last` the metadata of its note.

    For one organisation, `last` of an agent that serves all of them has the counts of that organisation, and `checks`,
    the sum of all passes, is None: it is not known by organisation. `held_back` are the names of integrations whose
    rows another session kept locked in its last passes.
    """

    host: str
    org_id: str | None
    version: str
    started_at: datetime | None
    finished_at: datetime | None
    failed_at: datetime | None
    failure: str | None
    passes: int
    checks: int | None
    age_s: float | None
    last: Mapping[str, Any]
    held_back: tuple[str, ...]


class _Noted(NamedTuple):
    """A row of `_LIST`."""

    host: str
    org_id: str | None
    version: str
    started_at: datetime | None
    finished_at: datetime | None
    failed_at: datetime | None
    failure: str | None
    passes: int
    checks: int
    metadata: object
    now_at: datetime

    @property
    def note(self) -> Mapping[str, object]:
        """The note of the last pass; empty if another program wrote the row."""
        return self.metadata if isinstance(self.metadata, dict) else {}


def agents(database: Database, org_id: str | None = None) -> list[AgentPass]:
    """The last pass of each agent, by host; with `org_id` only of the agents that serve it."""
    text = f"{_LIST} WHERE org_id IS NULL OR org_id = :org_id" if org_id else _LIST
    rows = [_Noted(**row) for row in database.rows(f"{text} ORDER BY host, id", {"org_id": org_id} if org_id else None)]
    names = _names(database, org_id, sorted({id for row in rows for id in _ids(row.note.get("locked"))}))
    return [_agent_pass(database, row, org_id, names) for row in rows]


def _agent_pass(database: Database, row: _Noted, org_id: str | None, names: Mapping[str, str]) -> AgentPass:
    is_part = org_id is not None and row.org_id is None  # of a pass over all organisations
    note = _part_of(database, str(org_id), row) if is_part else row.note
    return AgentPass(
        host=row.host,
        org_id=row.org_id,
        version=row.version,
        started_at=row.started_at,
        finished_at=row.finished_at,
        failed_at=row.failed_at,
        failure=row.failure,
        passes=row.passes,
        checks=None if is_part else row.checks,
        age_s=None if row.finished_at is None else max((row.now_at - row.finished_at).total_seconds(), 0.0),
        last={key: note[key] for key in sorted(note) if key != "locked"},  # jsonb does not keep an order
        held_back=tuple(sorted(names[id] for id in _ids(row.note.get("locked")) if id in names)),
    )


def _part_of(database: Database, org_id: str, row: _Noted) -> Mapping[str, object]:
    """What the note of a pass over all organisations says to one of them, with the counts of its own checks."""
    duration_s = row.note.get("duration_s")
    if row.finished_at is None or not isinstance(duration_s, int | float):
        return {}
    window = {"began_at": row.finished_at - timedelta(seconds=duration_s), "finished_at": row.finished_at}
    found = database.rows(_CHECKED, {"org_id": org_id, **window})
    mine = [log for log in map(log_entry.read, (one["metadata"] for one in found)) if log.agent == row.host]
    verdicts = Counter(log.verdict for log in mine if log.verdict)
    faults = Counter(log.code for log in mine if log.code in CODES and CODES[log.code].actor == "us")
    return {
        **{key: row.note[key] for key in _COMMON if key in row.note},
        "checked": len(mine),
        "verdicts": {verdict: verdicts[verdict] for verdict in sorted(verdicts)},
        **({"faults": {str(code): faults[code] for code in sorted(map(str, faults))}} if faults else {}),
    }


def _ids(value: object) -> list[str]:
    return [id for id in value if isinstance(id, str)] if isinstance(value, list) else []


def _names(database: Database, org_id: str | None, ids: Sequence[str]) -> dict[str, str]:
    """The names of these integrations by id; with `org_id`, only of that organisation's."""
    if not ids:
        return {}
    text, parameters = among(database, _NAMES, ids)
    return {row["id"]: row["name"] for row in database.rows(text, parameters) if org_id in (None, row["org_id"])}
