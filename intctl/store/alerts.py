"""The integrations that a person must look at: those in error, and those that intctl cannot check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from intctl.db.connect import Database
from intctl.health.status import Verdict
from intctl.store import integrations, logs
from intctl.store.integrations import Integration, Selection

_SINCE = """
SELECT min(l.checked_at) AS since_at FROM integration_health_logs l
 WHERE l.integration_id = :id AND l.status = :status
   AND l.checked_at >= coalesce((SELECT max(n.checked_at) FROM integration_health_logs n
                                  WHERE n.integration_id = :id AND n.status IN ('success', :ended_by)), l.checked_at)"""

#: Codes of an unknown verdict that need no action: not checked yet, or no probe exists.
_NO_ALERT = ("self.not_checked", "self.no_probe")


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An integration that fails or cannot be checked, and since when.

    `verdict`, `code` and `phase` are those of its newest failure, which its error message is about.
    """

    integration: Integration
    verdict: Verdict
    code: str
    phase: str
    since: datetime | None
    facts: Mapping[str, object]


def find_all(database: Database, org_id: str) -> list[OpenAlert]:
    """The integrations in error, then the enabled ones that cannot be checked."""
    failing = integrations.find_all(database, org_id, Selection(status="error"))
    active = integrations.find_all(database, org_id, Selection(status="active"))
    unchecked = [one for one in active if one.verdict == "unknown" and one.code not in _NO_ALERT]
    return [
        *(_failing(database, one) for one in failing),
        *(_open(one, _since(database, one, "unknown")) for one in unchecked),
    ]


def _failing(database: Database, one: Integration) -> OpenAlert:
    since = _since(database, one, "failure")
    for log in logs.newest(database, one.org_id, id=one.id, limit=1, failures=True):
        return OpenAlert(one, log.verdict, log.code, log.phase, since, log.facts)
    return _open(one, since)


def _open(one: Integration, since: datetime | None) -> OpenAlert:
    return OpenAlert(one, one.verdict, one.code, one.phase, since, one.facts)


def _since(database: Database, one: Integration, status: str) -> datetime | None:
    """The time of the first check with this status since the last check with another one."""
    ended_by = "success" if status == "failure" else "failure"
    found = database.row(_SINCE, {"id": one.id, "status": status, "ended_by": ended_by})
    since: datetime | None = found["since_at"] if found else None
    return since or one.last_health_check or one.updated_at
