"""Planned maintenance windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from intctl.db.connect import Database

_MAINTENANCE = """
SELECT m.id, m.integration_id, i.name AS integration, m.starts_at, m.ends_at, m.weekly, m.time_zone, m.stopped_at,
       m.reason, m.created_at
  FROM maintenance_windows m LEFT JOIN integrations i ON i.id = m.integration_id
 WHERE m.org_id = :org_id AND i.deleted_at IS NULL ORDER BY m.starts_at, m.id"""


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """Planned maintenance, once or weekly. `integration_id` and `integration` (the name) are None if it is for all.

    A weekly window keeps its time of day in `time_zone`. `stopped_at`: when a person ended it.
    """

    id: str
    integration_id: str | None
    integration: str | None
    starts_at: datetime
    ends_at: datetime
    weekly: bool
    time_zone: str
    stopped_at: datetime | None = None
    reason: str | None = None
    created_at: datetime | None = None


def windows(database: Database, org_id: str) -> list[MaintenanceWindow]:
    """All maintenance windows of an organisation, by start."""
    rows = database.rows(_MAINTENANCE, {"org_id": org_id})
    return [MaintenanceWindow(**{**row, "weekly": bool(row["weekly"])}) for row in rows]
