"""The last pass of each agent, as `agent status` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from intctl.db.connect import Database, among
from intctl.health import log_entry

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


def agents(database: Database, org_id: str | None = None) -> list[AgentPass]:
    """The last pass of each agent, by host; with `org_id` only of the agents that serve it."""
    text = f"{_LIST} WHERE org_id IS NULL OR org_id = :org_id" if org_id else _LIST
    rows = database.rows(f"{text} ORDER BY host, id", {"org_id": org_id} if org_id else None)
    notes = [row.pop("metadata") for row in rows]
    known = [note if isinstance(note, dict) else {} for note in notes]
    locked = [_ids(note.pop("locked", None)) for note in known]
    names = _names(database, org_id, sorted({id for ids in locked for id in ids}))
    if org_id:
        for place, row in enumerate(rows):
            if row["org_id"] is None:
                row["checks"] = None
                known[place] = _part_of(database, org_id, row, known[place])
    return [
        _agent_pass(**row, known=note, held_back=tuple(sorted(names[id] for id in ids if id in names)))
        for row, note, ids in zip(rows, known, locked, strict=True)
    ]


def _part_of(database: Database, org_id: str, row: Mapping[str, Any], note: Mapping[str, Any]) -> dict[str, Any]:
    """What the note of a pass over all organisations says to one of them, with the counts of its own checks."""
    finished_at, duration_s = row["finished_at"], note.get("duration_s")
    if finished_at is None or not isinstance(duration_s, int | float):
        return {}
    window = {"began_at": finished_at - timedelta(seconds=duration_s), "finished_at": finished_at}
    found = database.rows(_CHECKED, {"org_id": org_id, **window})
    mine = [log for log in map(log_entry.read, (one["metadata"] for one in found)) if log.agent == row["host"]]
    verdicts = Counter(log.verdict for log in mine if log.verdict)
    return {
        **{key: note[key] for key in _COMMON if key in note},
        "checked": len(mine),
        "verdicts": {verdict: verdicts[verdict] for verdict in sorted(verdicts)},
    }


def _ids(value: object) -> list[str]:
    return [id for id in value if isinstance(id, str)] if isinstance(value, list) else []


def _names(database: Database, org_id: str | None, ids: Sequence[str]) -> dict[str, str]:
    """The names of these integrations by id; with `org_id`, only of that organisation's."""
    if not ids:
        return {}
    text, parameters = among(database, _NAMES, ids)
    return {row["id"]: row["name"] for row in database.rows(text, parameters) if org_id in (None, row["org_id"])}


def _agent_pass(
    *,
    now_at: datetime,
    finished_at: datetime | None,
    known: Mapping[str, Any],
    held_back: tuple[str, ...],
    **columns: Any,
) -> AgentPass:
    return AgentPass(
        **columns,
        finished_at=finished_at,
        age_s=None if finished_at is None else max((now_at - finished_at).total_seconds(), 0.0),
        last={key: known[key] for key in sorted(known)},  # jsonb does not keep an order
        held_back=held_back,
    )
