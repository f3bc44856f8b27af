"""Health logs, newest first, and the quota usage that the newest of them report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from intctl.db.connect import Database
from intctl.health.log_entry import read
from intctl.health.status import Verdict

_LOGS = """
SELECT l.id, i.name AS integration, l.integration_id, l.checked_at, l.check_type, l.status, l.response_time_ms,
       l.error_message, l.metadata, l.lease_token, i.config_version
  FROM integration_health_logs l JOIN integrations i ON i.id = l.integration_id
 WHERE i.org_id = :org_id"""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One recorded check. `current`: it ran with the present config."""

    id: str
    integration: str
    integration_id: str
    checked_at: datetime
    check_type: str
    status: str
    response_time_ms: int | None
    error_message: str | None
    lease_token: int | None
    current: bool
    verdict: Verdict
    code: str
    phase: str
    phases_ms: Mapping[str, float]
    facts: Mapping[str, object]
    detail: str


def newest(
    database: Database,
    org_id: str,
    *,
    id: str | None = None,
    limit: int = 50,
    failures: bool = False,
    since: datetime | None = None,
) -> list[LogEntry]:
    """The health logs, newest first: of one integration, or of all living ones."""
    text, parameters = _LOGS, {"org_id": org_id, "limit": limit}
    if id is not None:
        text += " AND l.integration_id = :id"
        parameters["id"] = id
    else:
        text += " AND i.deleted_at IS NULL"
    if failures:
        text += " AND l.status = 'failure'"
    if since is not None:
        text += " AND l.checked_at >= :since"
        parameters["since"] = since
    text += " ORDER BY l.checked_at DESC, l.id DESC LIMIT :limit"
    return [_decoded(**row) for row in database.rows(text, parameters)]


def _decoded(*, metadata: object, config_version: int, **columns: Any) -> LogEntry:
    """Decode a row of `_LOGS`."""
    known = read(metadata)
    return LogEntry(
        **columns,
        current=known.config_version == config_version,
        verdict=known.verdict or _verdict_of(columns["status"]),
        code=known.code or "",
        phase=known.phase,
        phases_ms=known.ordered_phases_ms,
        facts=known.ordered_facts,
        detail=known.detail,
    )


def _verdict_of(status: str) -> Verdict:
    """The verdict of a log row that another program wrote."""
    return "healthy" if status == "success" else "down" if status == "failure" else "unknown"


# --- usage ---------------------------------------------------------------------------------------
