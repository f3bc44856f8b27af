"""What is measured of each integration, for the metrics file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from intctl.db.connect import Database
from intctl.db.url import POSTGRESQL, SQLITE
from intctl.health import log_entry
from intctl.health.log_entry import LogMetadata
from intctl.store.current import OFF_AT, is_current

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
